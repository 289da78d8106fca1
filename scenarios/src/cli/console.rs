//! The two outputs of the program, and whether they may be coloured.

use std::io::{self, IsTerminal, Write};

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The two outputs of the program.
pub struct Console<'a> {
    out: Quiet<'a>,
    err: Quiet<'a>,
    out_is_terminal: bool,
    /// Whether standard error is a terminal: then progress is a bar.
    pub(super) err_is_terminal: bool,
    no_color: bool,
    pub(super) color_out: bool,
    pub(super) color_err: bool,
}

impl<'a> Console<'a> {
    /// Two outputs that are no terminals.
    pub fn new(out: &'a mut (dyn Write + Send), err: &'a mut (dyn Write + Send)) -> Self {
        Self {
            out: Quiet::new(out),
            err: Quiet::new(err),
            out_is_terminal: false,
            err_is_terminal: false,
            no_color: false,
            color_out: false,
            color_err: false,
        }
    }

    /// The process's own outputs, passed in, and what they are connected to.
    pub fn of_process(out: &'a mut (dyn Write + Send), err: &'a mut (dyn Write + Send)) -> Self {
        Self {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            // As no-color.org has it: present and not empty.
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            ..Self::new(out, err)
        }
    }

    pub(super) fn choose(&mut self, when: ColorWhen) {
        let colored = |is_terminal| match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => is_terminal && !self.no_color,
        };
        (self.color_out, self.color_err) = (colored(self.out_is_terminal), colored(self.err_is_terminal));
        if self.err_is_terminal {
            // The progress bar colours itself.
            console::set_colors_enabled_stderr(self.color_err);
        }
    }

    /// Results.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Everything else.
    pub(super) fn complain(&mut self, text: &str) -> io::Result<()> {
        self.err.write_all(text.as_bytes())?;
        self.err.flush()
    }

    /// Where results go, for what is too long to be made up first.
    pub(super) fn out(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Where everything else goes.
    pub(super) fn err(&mut self) -> &mut (impl Write + Send + use<'a>) {
        &mut self.err
    }
}

/// An output that goes quiet when its reader has gone, as `ironbird list | head -1` makes it: what is left
/// to say is said to nobody, and the command ends as it would have.
struct Quiet<'a> {
    inner: &'a mut (dyn Write + Send),
    gone: bool,
}

impl<'a> Quiet<'a> {
    fn new(inner: &'a mut (dyn Write + Send)) -> Self {
        Self { inner, gone: false }
    }

    fn unless_gone<T>(
        &mut self,
        instead: T,
        act: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.gone {
            return Ok(instead);
        }
        match act(self.inner) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(instead)
            }
            result => result,
        }
    }
}

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_gone(bytes.len(), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_gone((), |inner| inner.flush())
    }
}
