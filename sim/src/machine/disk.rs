//! A machine's disk: files by path. It outlives the machine's processes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The most a disk holds; a run that writes more is out of hand.
const CAPACITY_BYTES: usize = 64 << 20;

/// Files by path; a folder exists while something is in it.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<PathBuf, Vec<u8>>,
    used: usize,
}

impl Disk {
    /// A file's content.
    pub fn read(&self, path: &Path) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Replaces a file.
    ///
    /// # Errors
    /// `StorageFull` when the disk has no room.
    pub fn write(&mut self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        let freed = self.files.get(path).map_or(0, Vec::len);
        self.reserve(content.len().saturating_sub(freed))?;
        self.used = self.used - freed + content.len();
        self.files.insert(path.to_owned(), content);
        Ok(())
    }

    /// Adds to the end of a file, creating it first where there is none.
    ///
    /// # Errors
    /// `StorageFull` when the disk has no room.
    pub fn append(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.reserve(content.len())?;
        self.used += content.len();
        match self.files.get_mut(path) {
            Some(file) => file.extend_from_slice(content),
            None => {
                self.files.insert(path.to_owned(), content.to_vec());
            }
        }
        Ok(())
    }

    /// Removes a file or everything below a folder.
    pub fn remove(&mut self, path: &Path) {
        let mut freed = 0;
        self.files.retain(|known, content| {
            let goes = known.starts_with(path);
            freed += if goes { content.len() } else { 0 };
            !goes
        });
        self.used -= freed;
    }

    /// Whether there is a file or folder of this name.
    pub fn exists(&self, path: &Path) -> bool {
        self.files.range(path.to_owned()..).next().is_some_and(|(known, _)| known.starts_with(path))
    }

    /// Empties the disk.
    pub fn wipe(&mut self) {
        *self = Self::default();
    }

    fn reserve(&self, more: usize) -> io::Result<()> {
        if self.used + more > CAPACITY_BYTES {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_exists_while_something_is_in_it() {
        let mut disk = Disk::default();
        disk.write(Path::new("/data/mysql/user"), b"root".to_vec()).unwrap();
        disk.append(Path::new("/data/binlog"), b"a").unwrap();
        disk.append(Path::new("/data/binlog"), b"b").unwrap();
        assert_eq!(disk.read(Path::new("/data/binlog")), Some(&b"ab"[..]));
        assert!(disk.exists(Path::new("/data/mysql")));
        assert!(!disk.exists(Path::new("/data/my")));
        disk.remove(Path::new("/data/mysql"));
        assert!(!disk.exists(Path::new("/data/mysql")));
        assert!(disk.exists(Path::new("/data")));
    }

    #[test]
    fn a_full_disk_refuses_and_keeps_what_it_has() {
        let mut disk = Disk::default();
        disk.write(Path::new("/a"), vec![0; CAPACITY_BYTES]).unwrap();
        assert_eq!(disk.append(Path::new("/a"), &[0]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.write(Path::new("/a"), vec![1; CAPACITY_BYTES]).unwrap();
        disk.remove(Path::new("/a"));
        disk.write(Path::new("/b"), vec![0; CAPACITY_BYTES]).unwrap();
    }
}
