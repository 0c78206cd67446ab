//! Directories as archives and sums. What an archive holds decides its bytes, and nothing else does: names are sorted, every
//! file is nobody's and of one date.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::files;

/// Packs a directory, under its own name.
pub(super) fn pack(dir: &Path, archive: &Path, date: u64) -> anyhow::Result<()> {
    let name = dir.file_name().context("a directory has a name")?;
    let file = File::create(archive).with_context(|| format!("creating {}", archive.display()))?;
    let packed = GzBuilder::new().mtime(0).write(file, Compression::best());
    let mut tar = Builder::new(packed);
    for file in files::below(dir)? {
        let from = dir.join(&file);
        let content = fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
        let runs = from.metadata()?.permissions().mode() & 0o111 != 0;
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(if runs { 0o755 } else { 0o644 });
        header.set_mtime(date);
        header.set_size(u64::try_from(content.len())?);
        tar.append_data(&mut header, Path::new(name).join(&file), content.as_slice())?;
    }
    tar.into_inner()?.finish()?.flush()?;
    Ok(())
}

/// The SHA-256 of a file, as `sha256sum` writes it.
pub(super) fn sum(file: &Path) -> anyhow::Result<String> {
    let content = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let hash = Sha256::digest(content);
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_decides_the_archive_and_when_or_by_whom_does_not() {
        let temp = tempfile::tempdir().unwrap();
        let made = |place: &str, order: [&str; 3]| {
            let dir = temp.path().join(place).join("it");
            fs::create_dir_all(dir.join("b")).unwrap();
            for name in order {
                fs::write(dir.join(name), name).unwrap();
            }
            fs::set_permissions(dir.join("a"), fs::Permissions::from_mode(0o700)).unwrap();
            let archive = temp.path().join(place).join("it.tar.gz");
            pack(&dir, &archive, 1_000_000_000).unwrap();
            fs::read(archive).unwrap()
        };
        let first = made("1", ["a", "b/c", "d"]);
        assert_eq!(first, made("2", ["d", "b/c", "a"]));

        let unpacked = flate2::read::GzDecoder::new(first.as_slice());
        let mut archive = tar::Archive::new(unpacked);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let (header, path) = (entry.header(), entry.path().unwrap());
            format!(
                "{} {:o} {}",
                path.display(),
                header.mode().unwrap(),
                header.mtime().unwrap()
            )
        });
        let entries: Vec<String> = entries.collect();
        assert_eq!(
            entries,
            [
                "it/a 755 1000000000",
                "it/b/c 644 1000000000",
                "it/d 644 1000000000"
            ]
        );
    }

    #[test]
    fn sums_are_those_of_sha256sum() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        fs::write(temp.path(), "abc").unwrap();
        assert_eq!(
            sum(temp.path()).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
