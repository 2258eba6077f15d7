# The static program and nothing else: it computes on the CPU (docs/install.md). Before it is built:
#     cargo build --release --target x86_64-unknown-linux-musl
# and then, with a folder of data and runs:
#     docker build -t kiln . && docker run -v "$PWD:/work" kiln train vae --data builtin:digits --out run
FROM scratch
COPY target/x86_64-unknown-linux-musl/release/kiln /kiln
WORKDIR /work
ENV HOME=/work TMPDIR=/work
ENTRYPOINT ["/kiln"]
