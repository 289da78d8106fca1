//! A machine's disk: files by path. It outlives the machine's processes.
//!
//! A file that is written as a whole, and what is [appended](Disk::append), is durable when the call
//! returns. What is [appended without a sync](Disk::append_unsynced) is read back like everything else, by
//! this process and the next, but a loss of power takes it, up to the last [`Disk::sync`].
//!
//! A disk can be made full, slow or broken. It says so, and does not sleep: whoever waits for a sync asks
//! [`Disk::slow`] how long. What is wrong with a disk stays wrong when it is wiped.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most a disk holds; a run that writes more is out of hand.
const CAPACITY_BYTES: usize = 64 << 20;

/// A file.
#[derive(Debug, Default)]
struct File {
    content: Vec<u8>,
    /// How much of it outlives a loss of power.
    synced: usize,
}

/// Files by path; a folder exists while something is in it.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<PathBuf, File>,
    used: usize,
    full: bool,
    failing: bool,
    slow: Option<Duration>,
}

impl Disk {
    /// A file's content.
    pub fn read(&self, path: &Path) -> Option<&[u8]> {
        self.files.get(path).map(|file| file.content.as_slice())
    }

    /// A file's content, as a process gets it.
    ///
    /// # Errors
    /// `NotFound` when there is no such file; the disk's own error when it is failing.
    pub fn get(&self, path: &Path) -> io::Result<&[u8]> {
        self.works()?;
        self.read(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Replaces a file.
    ///
    /// # Errors
    /// `StorageFull` when the disk has no room; the disk's own error when it is failing.
    pub fn write(&mut self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        let freed = self.files.get(path).map_or(0, |file| file.content.len());
        self.reserve(content.len().saturating_sub(freed))?;
        self.used = self.used - freed + content.len();
        let synced = content.len();
        self.files.insert(path.to_owned(), File { content, synced });
        Ok(())
    }

    /// Adds to the end of a file, creating it first where there is none, and syncs it.
    ///
    /// # Errors
    /// As [`Disk::write`].
    pub fn append(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.append_unsynced(path, content)?;
        self.sync(path);
        Ok(())
    }

    /// Adds to the end of a file, creating it first where there is none, and leaves it to a later sync.
    ///
    /// # Errors
    /// As [`Disk::write`].
    pub fn append_unsynced(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.reserve(content.len())?;
        self.used += content.len();
        if let Some(file) = self.files.get_mut(path) {
            file.content.extend_from_slice(content);
        } else {
            self.files.insert(path.to_owned(), File { content: content.to_vec(), synced: 0 });
        }
        Ok(())
    }

    /// Makes everything in a file durable.
    pub fn sync(&mut self, path: &Path) {
        if let Some(file) = self.files.get_mut(path) {
            file.synced = file.content.len();
        }
    }

    /// The power went: what was not synced is gone.
    pub fn lose_unsynced(&mut self) {
        for file in self.files.values_mut() {
            self.used -= file.content.len() - file.synced;
            file.content.truncate(file.synced);
        }
    }

    /// Removes a file or everything below a folder.
    pub fn remove(&mut self, path: &Path) {
        let mut freed = 0;
        self.files.retain(|known, file| {
            let goes = known.starts_with(path);
            freed += if goes { file.content.len() } else { 0 };
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
        self.files.clear();
        self.used = 0;
    }

    /// Whether there is no room for anything more. What is there can still be replaced by as much or less.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// How much longer every sync takes; `None` for a disk that is as fast as it should be.
    pub fn set_slow(&mut self, delay: Option<Duration>) {
        self.slow = delay;
    }

    /// How much longer every sync takes, where it does.
    pub fn slow(&self) -> Option<Duration> {
        self.slow
    }

    /// Whether everything that reads or writes fails.
    pub fn set_failing(&mut self, failing: bool) {
        self.failing = failing;
    }

    fn works(&self) -> io::Result<()> {
        if self.failing { Err(io::Error::other("Input/output error")) } else { Ok(()) }
    }

    fn reserve(&self, more: usize) -> io::Result<()> {
        self.works()?;
        if more > 0 && (self.full || self.used + more > CAPACITY_BYTES) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "No space left on device"));
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

    #[test]
    fn a_disk_that_was_made_full_takes_nothing_more_until_it_is_not() {
        let mut disk = Disk::default();
        disk.write(Path::new("/a"), b"abc".to_vec()).unwrap();
        disk.set_full(true);
        assert_eq!(disk.append(Path::new("/a"), b"d").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(
            disk.write(Path::new("/b"), b"d".to_vec()).unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        disk.write(Path::new("/a"), b"xyz".to_vec()).unwrap();
        assert_eq!(disk.get(Path::new("/a")).unwrap(), b"xyz");
        disk.wipe();
        assert!(disk.write(Path::new("/b"), b"d".to_vec()).is_err());
        disk.set_full(false);
        disk.write(Path::new("/b"), b"d".to_vec()).unwrap();
    }

    #[test]
    fn a_failing_disk_neither_reads_nor_writes() {
        let mut disk = Disk::default();
        disk.write(Path::new("/a"), b"abc".to_vec()).unwrap();
        disk.set_failing(true);
        assert_eq!(disk.get(Path::new("/a")).unwrap_err().kind(), io::ErrorKind::Other);
        assert_eq!(disk.write(Path::new("/a"), Vec::new()).unwrap_err().kind(), io::ErrorKind::Other);
        disk.set_failing(false);
        assert_eq!(disk.get(Path::new("/a")).unwrap(), b"abc");
        assert_eq!(disk.get(Path::new("/b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_loss_of_power_takes_what_was_not_synced() {
        let mut disk = Disk::default();
        let read = |disk: &Disk, path| disk.read(Path::new(path)).map(<[u8]>::to_vec);
        disk.append(Path::new("/log"), b"ab").unwrap();
        disk.append_unsynced(Path::new("/log"), b"c").unwrap();
        disk.append_unsynced(Path::new("/other"), b"d").unwrap();
        disk.write(Path::new("/file"), b"e".to_vec()).unwrap();
        assert_eq!(read(&disk, "/log"), Some(b"abc".to_vec()));
        disk.sync(Path::new("/other"));
        disk.lose_unsynced();
        assert_eq!(read(&disk, "/log"), Some(b"ab".to_vec()));
        assert_eq!(read(&disk, "/other"), Some(b"d".to_vec()));
        assert_eq!(read(&disk, "/file"), Some(b"e".to_vec()));
        // The room is free again.
        let left = CAPACITY_BYTES - 4;
        disk.write(Path::new("/rest"), vec![0; left]).unwrap();
        assert!(disk.append(Path::new("/rest"), &[0]).is_err());
    }
}
