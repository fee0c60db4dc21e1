//! What is sent: a text in memory, or a file piece by piece, so that a slow client holds one piece and never
//! all of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// How much of a file is in memory for each client, in bytes.
const PIECE: u64 = 16 * 1024;

/// The body of a response.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Text(Option<Bytes>),
    /// A file, from `at` to `end`. Files are replaced by renaming, so that an open one never changes.
    File { file: File, at: u64, end: u64 },
}

impl Content {
    /// How many bytes are left.
    pub fn len(&self) -> u64 {
        match self {
            Content::Text(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Content::File { at, end, .. } => end - at,
        }
    }
}

impl From<Bytes> for Content {
    fn from(text: Bytes) -> Self {
        Content::Text((!text.is_empty()).then_some(text))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match self.get_mut() {
            Content::Text(text) => text.take().map(|text| Ok(Frame::data(text))),
            Content::File { at, end, .. } if at == end => None,
            Content::File { file, at, end } => {
                // A piece is small, so that the conversion never fails.
                let mut piece = vec![0; usize::try_from(PIECE.min(*end - *at)).unwrap_or(0)];
                let read = file.read_exact_at(&mut piece, *at);
                *at += piece.len() as u64;
                Some(read.map(|()| Frame::data(piece.into())))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_file_comes_in_pieces_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jar");
        for size in [0, 1, PIECE, PIECE + 1, 3 * PIECE] {
            let bytes: Vec<u8> = (0..size).map(|n| n as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let mut content = Content::File { file: File::open(&path).unwrap(), at: 0, end: size };
            assert_eq!(content.len(), size);
            let mut read = Vec::new();
            while let Some(frame) = content.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                assert!(piece.len() as u64 <= PIECE);
                read.extend_from_slice(&piece);
            }
            assert_eq!(read, bytes);
        }
    }

    #[tokio::test]
    async fn a_file_that_got_shorter_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jar");
        std::fs::write(&path, b"short").unwrap();
        let mut content = Content::File { file: File::open(&path).unwrap(), at: 0, end: 6 };
        assert!(content.frame().await.unwrap().is_err());
    }
}
