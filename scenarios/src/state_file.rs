//! What a long job has done so far, in a file: JSON Lines, first what the job is, then a line for each part
//! of it that is done.
//!
//! A program that is killed while it writes leaves a last line without an end. That line is cut off, and its
//! part of the job is done again. Anything else that does not read is no such file, and is left as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of one line at most.
const MAX_LINE: u64 = 1 << 20;

/// The whole lines of a file, one after the other.
pub(crate) struct WholeLines<R> {
    reader: BufReader<R>,
    text: Vec<u8>,
    end: u64,
}

impl<R: Read> WholeLines<R> {
    pub(crate) fn of(file: R) -> Self {
        Self { reader: BufReader::new(file), text: Vec::new(), end: 0 }
    }

    /// The next line with its end; none where there is none, or one that was cut off.
    ///
    /// # Errors
    /// When the file cannot be read; [`io::ErrorKind::InvalidData`] when the line is longer than a mebibyte.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.text.clear();
        let length = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.text)? as u64;
        if self.text.last() == Some(&b'\n') {
            self.end += length;
            Ok(Some(&self.text))
        } else if length == MAX_LINE {
            Err(wrong(format!("longer than {MAX_LINE} bytes")))
        } else {
            Ok(None)
        }
    }

    /// Where in the file the last whole line ends, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }
}

/// Opens the file at `path` to read and to add to, and makes it if it is not there.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Cuts `file` off at `end`, so that the next line comes after the last whole one.
pub(crate) fn cut_off(file: &mut File, end: u64) -> io::Result<()> {
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end)).map(drop)
}

/// How people are told that a file is not the one they wanted.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// What such a file is: a "list of points".
    pub what: &'static str,
    /// What another such file may be of: "another scenario".
    pub other: &'static str,
}

/// The state of a job, with what is needed to add to it.
#[derive(Debug)]
pub struct StateFile {
    file: File,
}

impl StateFile {
    /// Opens or begins the file at `path` for the job `head`, and gives the lines it holds already. `check`
    /// says what is wrong with a line that reads.
    ///
    /// # Errors
    /// When it cannot be read or written, is of another job, or is no such file.
    pub fn open<H, L>(
        path: &Path,
        head: &H,
        words: Words,
        check: impl Fn(&L) -> Result<(), String>,
    ) -> io::Result<(Self, Vec<L>)>
    where
        H: Serialize + DeserializeOwned + PartialEq,
        L: DeserializeOwned,
    {
        let mut file = open(path)?;
        let mut lines = WholeLines::of(&file);
        let mut known = Vec::new();
        let (mut first, mut number) = (true, 0);
        while let Some(text) = lines.next()? {
            number += 1;
            if first {
                let of: H =
                    serde_json::from_slice(text).map_err(|_| wrong(format!("it is no {}", words.what)))?;
                if of != *head {
                    return Err(wrong(format!("it is of {}: name another file", words.other)));
                }
                first = false;
                continue;
            }
            let line = serde_json::from_slice(text)
                .map_err(|error| error.to_string())
                .and_then(|line| check(&line).map(|()| line));
            match line {
                Ok(line) => known.push(line),
                Err(why) => return Err(wrong(format!("line {number} of it: {why}"))),
            }
        }
        let end = lines.end();
        cut_off(&mut file, end)?;
        let mut state = Self { file };
        if first {
            state.keep(head)?;
        }
        Ok((state, known))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Those of the file.
    pub fn keep(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
