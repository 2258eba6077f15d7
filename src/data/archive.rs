//! Archives of files, read where they lie: `.zip`, `.tar`, `.tar.gz` and `.tgz`. Nothing is unpacked into a folder, so no path within one leads
//! anywhere; a gzipped archive goes to memory or to a temporary file as of [`PositionedFile::spool`].

use super::positioned::{PositionedFile, Reader};
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tar::EntryType;
use zip::ZipArchive;

/// Most files of an archive.
const MOST_FILES: usize = 1 << 21;
/// Deflate's limit of bytes a byte of file.
const MAX_RATIO: u64 = 1032;
/// A gzipped archive holds at most so many bytes and so many times its own: far above what pictures and IDX files come to.
const UNPACKED: (u64, u64) = (1 << 30, 32);
/// A tar archive goes by blocks of so many bytes.
const BLOCK: u64 = 512;

/// The files of an archive, by their names.
pub struct Archive {
    path: PathBuf,
    body: Body,
    /// Names with `/` between their parts.
    files: BTreeMap<String, Member>,
}

enum Body {
    Zip(ZipArchive<Reader>),
    Tar(Arc<PositionedFile>),
}

#[derive(Clone, Copy)]
struct Member {
    /// The number of a file in a `.zip`, where it begins in a `.tar`.
    at: u64,
    len: u64,
}

/// Archives that are open, so that the splits of one are not unpacked one by one.
static OPEN: Mutex<Vec<(Stamp, Weak<Archive>)>> = Mutex::new(Vec::new());

/// Which file an archive was.
type Stamp = (PathBuf, u64, Option<std::time::SystemTime>);

/// Whether a file's name is that of an archive.
pub fn is_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    [".zip", ".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

impl Archive {
    /// Lists the files of an archive; hidden ones, links and what macOS adds are left out.
    ///
    /// # Errors
    /// A file that is missing, torn or no archive, that unpacks to far more than it holds, or whose names lead out of it.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let about = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        let stamp = (path.to_path_buf(), about.len(), about.modified().ok());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, held)| held.strong_count() > 0);
        if let Some(held) = open.iter().find(|(known, _)| *known == stamp).and_then(|(_, held)| held.upgrade()) {
            return Ok(held);
        }
        let opened = Arc::new(Self::read(path, UNPACKED)?);
        open.push((stamp, Arc::downgrade(&opened)));
        Ok(opened)
    }

    fn read(path: &Path, (least, times): (u64, u64)) -> Result<Self> {
        let file = PositionedFile::open(path)?;
        if file.len() == 0 {
            return Err(Error::format(path, "is empty; fetch it again"));
        }
        let mut magic = [0; 2];
        file.read_exact_at(&mut magic[..file.len().min(2) as usize], 0)?;
        let (packed, file) = (file.len(), Arc::new(file));
        match &magic {
            b"PK" => Self::zip(path, file),
            [0x1F, 0x8B] => {
                let most = least + packed.saturating_mul(times);
                let stream = MultiGzDecoder::new(BufReader::new(Reader::new(file)));
                let whole = PositionedFile::spool(path, stream, most).map_err(|e| torn(path, &e))?;
                if whole.len() > most {
                    let reason = format!("unpacks to more than {} MiB; unpack it and name the folder", most >> 20);
                    return Err(Error::format(path, reason));
                }
                Self::tar(path, Arc::new(whole))
            }
            _ => Self::tar(path, file),
        }
    }

    fn zip(path: &Path, file: Arc<PositionedFile>) -> Result<Self> {
        let archive = ZipArchive::new(Reader::new(file)).map_err(|e| torn(path, &e))?;
        room(path, archive.len())?;
        let mut files = BTreeMap::new();
        for at in 0..archive.len() {
            let entry = archive.by_index_data(at).map_err(|e| torn(path, &e))?;
            // Some programs of Windows write its own mark between folders.
            let name = entry.name().map_err(|e| torn(path, &e))?.replace('\\', "/");
            let (len, packed) = (entry.size(), entry.compressed_size());
            let (false, false, Some(name)) = (entry.is_dir(), entry.is_symlink(), inner(path, Path::new(&name))?) else { continue };
            if entry.encrypted() {
                return Err(Error::format(path, format!("holds {name} under a password; unpack it and name the folder")));
            }
            if len / MAX_RATIO > packed {
                return Err(torn(path, &format!("{name} announces {len} bytes in {packed}")));
            }
            files.insert(name, Member { at: at as u64, len });
        }
        Ok(Self { path: path.into(), body: Body::Zip(archive), files })
    }

    fn tar(path: &Path, file: Arc<PositionedFile>) -> Result<Self> {
        let mut archive = tar::Archive::new(Reader::new(Arc::clone(&file)));
        let (mut files, mut end) = (BTreeMap::new(), 0);
        for entry in archive.entries_with_seek().map_err(|e| torn(path, &e))? {
            let entry = entry.map_err(|e| torn(path, &e))?;
            let member = Member { at: entry.raw_file_position(), len: entry.size() };
            let own = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
            let name = entry.path().map_err(|e| torn(path, &e))?;
            end = member.at.checked_add(member.len).ok_or_else(|| torn(path, &"a file of no size"))?;
            if own && end > file.len() {
                return Err(torn(path, &format!("{} ends behind it", name.display())));
            }
            if let (true, Some(name)) = (own, inner(path, &name)?) {
                room(path, files.len() + 1)?;
                files.insert(name, member);
            }
        }
        // Behind the last file stand blocks of zeros: without them nobody knows whether it was the last.
        if end.next_multiple_of(BLOCK) >= file.len() {
            return Err(torn(path, &"nothing marks its end"));
        }
        Ok(Self { path: path.into(), body: Body::Tar(file), files })
    }

    /// What lies in a folder of the archive, `""` for its top: names, and whether each is a folder.
    pub fn listed(&self, folder: &str) -> Vec<(String, bool)> {
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let within = self.files.range(start.clone()..).map_while(|(name, _)| name.strip_prefix(start.as_str()));
        let mut found: Vec<(String, bool)> = within
            .map(|rest| match rest.split_once('/') {
                Some((folder, _)) => (folder.to_string(), true),
                None => (rest.to_string(), false),
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Bytes of a file; `None` where there is none of that name.
    pub fn len(&self, name: &str) -> Option<u64> {
        self.files.get(name).map(|member| member.len)
    }

    /// Hands a file's stream on.
    ///
    /// # Errors
    /// A file that is not there or packed in a way that is not read; what `take` returns.
    pub fn with<T>(&self, name: &str, take: impl FnOnce(&mut dyn Read) -> std::io::Result<T>) -> Result<T> {
        let shown = self.path.join(name);
        let Some(member) = self.files.get(name) else {
            return Err(Error::format(shown, "is no file of the archive; fetch it again"));
        };
        match &self.body {
            Body::Tar(file) => take(&mut Reader::part(Arc::clone(file), member.at, member.len)).map_err(|e| torn(&shown, &e)),
            Body::Zip(archive) => {
                let mut archive = archive.clone();
                let mut entry = archive.by_index(member.at as usize).map_err(|e| torn(&shown, &e))?;
                take(&mut entry).map_err(|e| torn(&shown, &e))
            }
        }
    }
}

/// The name of a file within an archive, its parts joined by `/`; `None` where it is hidden.
fn inner(archive: &Path, path: &Path) -> Result<Option<String>> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::CurDir => {}
            _ => return Err(Error::format(archive, format!("holds {}, which leads out of it; pack it again", path.display()))),
        }
    }
    let hidden = parts.iter().any(|part| part.starts_with('.') || part == "__MACOSX");
    Ok((!hidden && !parts.is_empty()).then(|| parts.join("/")))
}

fn room(path: &Path, files: usize) -> Result<()> {
    let reason = || format!("holds more than the {MOST_FILES} files that are read; unpack it and name the folder");
    if files <= MOST_FILES { Ok(()) } else { Err(Error::format(path, reason())) }
}

fn torn(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::format(path, format!("is torn or no archive that is read ({reason}); fetch it again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        for (name, bytes) in files {
            archive.start_file(*name, packed).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn tarred(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            // As a careless or hostile program writes it: the builder refuses names that lead out.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn opened(bytes: &[u8], unpacked: (u64, u64)) -> Result<Archive> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, bytes).unwrap();
        Archive::read(&path, unpacked)
    }

    fn said(bytes: &[u8]) -> String {
        opened(bytes, UNPACKED).err().expect("a refusal").to_string()
    }

    const FILES: [(&str, &[u8]); 5] =
        [("top/b/2", b"two"), ("top/a/1", b"one"), ("top/.hidden", b"no"), ("__MACOSX/top/a/._1", b"no"), ("./top/c", b"")];

    #[test]
    fn files_are_listed_and_read_whatever_the_archive() {
        let tar = tarred(&FILES);
        for bytes in [zipped(&FILES), tar.clone(), gzipped(&tar)] {
            let archive = opened(&bytes, UNPACKED).unwrap();
            let names = |folder: &str| archive.listed(folder).into_iter().map(|(name, is_folder)| format!("{name} {is_folder}")).collect();
            let listed: Vec<Vec<String>> = ["", "top", "top/a", "nowhere"].map(names).to_vec();
            assert_eq!(listed, [vec!["top true"], vec!["a true", "b true", "c false"], vec!["1 false"], vec![]]);
            let read = |name: &str| {
                let mut bytes = Vec::new();
                archive.with(name, |stream| stream.read_to_end(&mut bytes).map(|_| ())).map(|()| bytes)
            };
            assert_eq!(
                (read("top/a/1").unwrap(), read("top/b/2").unwrap(), read("top/c").unwrap()),
                (b"one".into(), b"two".into(), vec![])
            );
            assert_eq!((archive.len("top/a/1"), archive.len("top/a"), archive.len("top/.hidden")), (Some(3), None, None));
            assert!(read("top/d").is_err());
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../x", "a/../../x", "/x"] {
            assert!(said(&tarred(&[(name, b"x")])).contains("leads out of it"), "{name}");
            assert!(said(&zipped(&[(name, b"x")])).contains("leads out of it"), "{name}");
        }
    }

    #[test]
    fn what_is_torn_or_lies_is_refused() {
        let (zip, tar) = (zipped(&FILES), tarred(&FILES));
        assert!(said(b"").contains("is empty") && said(b"no archive").contains("torn"));
        assert!(said(&zip[..zip.len() - 30]).contains("torn"));
        // Within a file, within a header, and where nobody could tell but for the end's mark.
        for cut in [514, 1200, 1024] {
            assert!(said(&tar[..cut]).contains("torn"), "cut to {cut} bytes");
        }
        let gzip = gzipped(&tar);
        assert!(said(&gzip[..gzip.len() / 2]).contains("torn"));
        // The flag of a password, in the file's own header and in the directory.
        let mut locked = zip.clone();
        let directory = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        locked[6] |= 1;
        locked[directory + 8] |= 1;
        assert!(said(&locked).contains("password"));
        // 4 GiB in a few bytes.
        let mut vast = zip;
        vast[directory + 24..directory + 28].copy_from_slice(&[0xF0, 0xFF, 0xFF, 0xFF]);
        assert!(said(&vast).contains("announces"), "{}", said(&vast));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked_whole() {
        let bomb = gzipped(&tarred(&[("x", &vec![0; 4 << 20])]));
        assert!(opened(&bomb, UNPACKED).is_ok());
        let most = (1 << 20, 2);
        assert!(opened(&bomb, most).err().expect("a refusal").to_string().contains("unpacks to more than 1 MiB"));
    }

    #[test]
    fn an_archive_is_opened_once_while_it_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, tarred(&FILES)).unwrap();
        let first = Archive::open(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &Archive::open(&path).unwrap()));
        std::fs::write(&path, tarred(&FILES[..2])).unwrap();
        assert!(!Arc::ptr_eq(&first, &Archive::open(&path).unwrap()), "another file is another archive");
    }
}
