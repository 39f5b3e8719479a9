//! Where the bytes of a read go: a file, standard output, a hash.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::options::ReadOptions;

/// Where the bytes of a read go.
pub(crate) struct Sink {
    name: String,
    out: Option<Box<dyn Write>>,
    hash: Option<Sha256>,
}

impl Sink {
    pub(crate) fn open(options: &ReadOptions, to_stdout: bool) -> Result<Self, Failure> {
        let hash = options.sha256.then(Sha256::new);
        Ok(match &options.output {
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create(path)
                    .map_err(|error| Failure::doing(format_args!("cannot create {name}"), error))?;
                Self { name, out: Some(Box::new(file)), hash }
            }
            None => Self {
                name: "standard output".to_owned(),
                out: to_stdout.then(|| Box::new(io::stdout().lock()) as Box<dyn Write>),
                hash,
            },
        })
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<ControlFlow<()>, Failure> {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        match self.out.as_mut().map_or(Ok(()), |out| out.write_all(bytes)) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            // Who reads a pipe may have had enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The hash, in hexadecimal, when one was asked for.
    pub(crate) fn finish(mut self) -> Result<Option<String>, Failure> {
        match self.out.as_mut().map_or(Ok(()), |out| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(self.failed(error)),
            _ => {}
        }
        Ok(self.hash.map(|hash| hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::doing(format_args!("cannot write to {}", self.name), error)
    }
}
