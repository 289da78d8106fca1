//! An answer, from whichever of the two.

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in small letters, sorted.
    pub headers: Vec<(String, String)>,
    /// Its body, bytes that are not UTF-8 replaced.
    pub body: String,
}

impl Answer {
    /// An answer; its headers in any order and case.
    pub fn new(status: u16, headers: impl IntoIterator<Item = (String, String)>, body: &[u8]) -> Self {
        let mut headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        headers.sort();
        Self { status, headers, body: String::from_utf8_lossy(body).into_owned() }
    }

    /// The first header of that name, which is in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
