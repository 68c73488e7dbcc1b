//! The files to decode.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, stdin};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// One file, with the name that positions give it.
#[derive(Debug)]
pub struct Input {
    /// `None`: standard input.
    path: Option<PathBuf>,
    pub name: String,
}

#[derive(Debug)]
pub struct Inputs {
    pub files: Vec<Input>,
    /// 0 where a size is not known.
    pub total_bytes: u64,
}

impl Inputs {
    /// # Errors
    /// Names every file that cannot be read, before the first one is.
    pub fn of(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut complaints = Vec::new();
        let mut files = Vec::new();
        let mut total_bytes = Some(0_u64);
        for path in paths {
            if path.as_os_str() == "-" {
                files.push(Input { path: None, name: "stdin".to_owned() });
                total_bytes = None;
                continue;
            }
            match File::open(path).and_then(|file| file.metadata()) {
                Ok(metadata) if metadata.is_dir() => {
                    complaints.push(format!("{} is a directory; name the binlog files in it", path.display()));
                }
                Ok(metadata) => {
                    total_bytes = total_bytes.filter(|_| metadata.is_file()).map(|total| total + metadata.len());
                }
                Err(error) => complaints.push(format!("cannot read {}: {error}", path.display())),
            }
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            files.push(Input { path: Some(path.clone()), name });
        }
        match complaints.is_empty() {
            true => Ok(Self { files, total_bytes: total_bytes.unwrap_or(0) }),
            false => Err(Failure::input(complaints.join("\n       "))),
        }
    }

    /// A file that came before, from an offset on.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn open_again(&self, name: &str, offset: u64) -> Result<File, String> {
        let path: &Path = match self.files.iter().find(|input| input.name == name) {
            Some(Input { path: Some(path), .. }) => path,
            Some(Input { path: None, .. }) => {
                return Err("standard input cannot be read again; name the file".to_owned());
            }
            None => return Err(format!("{name} is not among the files; name it too, before the others")),
        };
        let open = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        };
        open().map_err(|error: std::io::Error| format!("cannot read {} again: {error}", path.display()))
    }
}

impl Input {
    pub fn open(&self) -> Result<Box<dyn Read>, Failure> {
        match &self.path {
            None => Ok(Box::new(stdin().lock())),
            Some(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(Failure::input(format!("cannot read {}: {error}", path.display()))),
            },
        }
    }

    pub fn shown(&self) -> String {
        self.path.as_ref().map_or("standard input".to_owned(), |path| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_cannot_be_read_is_named_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let good = folder.path().join("binlog.000001");
        std::fs::write(&good, b"12345").expect("write");
        let missing = folder.path().join("missing");
        let error = Inputs::of(&[good.clone(), missing, folder.path().to_owned()]).expect_err("two complaints");
        let text = error.error.to_string();
        assert!(text.contains("missing") && text.contains("is a directory"), "{text}");

        let inputs = Inputs::of(&[good]).expect("files");
        assert_eq!((inputs.total_bytes, inputs.files[0].name.as_str()), (5, "binlog.000001"));
        let mut rest = String::new();
        inputs.open_again("binlog.000001", 3).expect("open").read_to_string(&mut rest).expect("read");
        assert_eq!(rest, "45");
        assert!(inputs.open_again("binlog.000000", 4).expect_err("not there").contains("not among"));
    }
}
