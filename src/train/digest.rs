//! The digests of a checkpoint: SHA-256 of every tensor's bytes, and of the header that holds those digests, so that no bit of the file
//! can change unseen.
//!
//! The header's own digest (`digest` in the metadata) is taken with 64 zeros in its place.

use std::collections::BTreeMap;

use crate::parallel::prelude::*;
use safetensors::tensor::{SafeTensorError, SafeTensors};
use sha2::{Digest, Sha256};

/// Before the name of a tensor, in the metadata: its digest.
const TENSOR: &str = "sha256.";
/// The header's digest in the metadata.
const HEADER: &str = "digest";
/// Where the digest stands in the header's text.
const MARK: &str = "\"digest\":\"";
/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;
/// Bytes of a safetensors file before its header: the header's length.
const LENGTH: usize = 8;

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The header (with its length before it) of a safetensors file, with sorted metadata put into it: equal contents make equal bytes.
pub fn with_metadata(file: &[u8], metadata: &BTreeMap<String, String>) -> serde_json::Result<Vec<u8>> {
    let header = text(file).trim_end();
    let rest = header.strip_prefix('{').unwrap_or(header);
    let comma = if rest == "}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{}{comma}{rest}", serde_json::to_string(metadata)?).into_bytes();
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header].concat())
}

/// The same, with digests of `tensors` (names and bytes) and of the header itself.
pub fn sealed(file: &[u8], mut metadata: BTreeMap<String, String>, tensors: &[(&str, &[u8])]) -> serde_json::Result<Vec<u8>> {
    let digests: Vec<_> = tensors.par_iter().map(|(name, bytes)| (format!("{TENSOR}{name}"), sha256(bytes))).collect();
    metadata.extend(digests);
    metadata.insert(HEADER.into(), "0".repeat(DIGITS));
    let mut header = with_metadata(file, &metadata)?;
    let digest = sha256(&header[LENGTH..]);
    if let Some(at) = place(&header) {
        header[at..at + DIGITS].copy_from_slice(digest.as_bytes());
    }
    Ok(header)
}

/// What is wrong with a safetensors file by its digests, in words, if anything is.
///
/// # Errors
/// Those of a file that is no safetensors file.
pub fn damage(file: &[u8]) -> Result<Option<String>, SafeTensorError> {
    let tensors = SafeTensors::deserialize(file)?;
    let (length, header) = SafeTensors::read_metadata(file)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let Some((told, at)) = metadata.get(HEADER).zip(place(file)).filter(|(told, _)| told.len() == DIGITS) else {
        return Ok(Some("it has no digest".into()));
    };
    let mut blank = file[LENGTH..LENGTH + length].to_vec();
    blank[at - LENGTH..at - LENGTH + DIGITS].fill(b'0');
    if sha256(&blank) != *told {
        return Ok(Some("its header is not what was written".into()));
    }
    let changed = |(name, view): &(String, safetensors::tensor::TensorView<'_>)| {
        metadata.get(&format!("{TENSOR}{name}")).is_none_or(|told| sha256(view.data()) != *told)
    };
    let first = tensors.tensors().into_par_iter().filter(changed).map(|(name, _)| name).min();
    Ok(first.map(|name| format!("{name} is not what was written")))
}

/// A file's header, as text.
fn text(file: &[u8]) -> &str {
    let length = file.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let header = file.get(LENGTH..LENGTH.saturating_add(length)).unwrap_or_default();
    std::str::from_utf8(header).unwrap_or_default()
}

/// Where the header's digest begins in a file.
fn place(file: &[u8]) -> Option<usize> {
    Some(LENGTH + text(file).find(MARK)? + MARK.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{Dtype, TensorView};

    fn file() -> Vec<u8> {
        let parts: [(&str, Vec<u8>); 2] = [("b.weight", (0..16).collect()), ("a.bias", vec![0; 8])];
        let views = parts.iter().map(|(name, data)| (*name, TensorView::new(Dtype::F32, vec![data.len() / 4], data).expect("a view")));
        let plain = safetensors::serialize(views, None).expect("a file");
        let metadata = BTreeMap::from([("step".to_string(), "7".to_string()), ("note".into(), "\"digest\":\"".into())]);
        let tensors: Vec<(&str, &[u8])> = parts.iter().map(|(name, data)| (*name, &data[..])).collect();
        let header = sealed(&plain, metadata, &tensors).expect("a header");
        let data = LENGTH + u64::from_le_bytes(*plain.first_chunk().expect("a length")) as usize;
        [&header, &plain[data..]].concat()
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let whole = file();
        assert_eq!(damage(&whole).expect("whole"), None);
        for at in 0..whole.len() * 8 {
            let mut spoiled = whole.clone();
            spoiled[at / 8] ^= 1 << (at % 8);
            assert!(!matches!(damage(&spoiled), Ok(None)), "bit {} of byte {}", at % 8, at / 8);
        }
        assert!(damage(&whole[..whole.len() - 1]).is_err());
    }

    #[test]
    fn the_damaged_tensor_is_named() {
        let mut spoiled = file();
        let last = spoiled.len() - 1;
        spoiled[last] ^= 1;
        assert!(damage(&spoiled).expect("read").is_some_and(|said| said.starts_with("b.weight")));
    }
}
