//! A TCP stream that remembers the first bytes it received, which tell what is really at the other end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A frame header of HTTP/2 has 9 bytes, a TLS record header 5, `HTTP/1.1 ` 9.
const REMEMBERED: usize = 16;

#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    first: [u8; REMEMBERED],
    length: usize,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, first: [0; REMEMBERED], length: 0 }
    }

    /// The first bytes received, at most 16; empty when nothing came.
    pub(crate) fn first_bytes(&self) -> &[u8] {
        self.first.get(..self.length).unwrap_or_default()
    }

    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    fn remember(&mut self, received: &[u8]) {
        if let Some(free) = self.first.get_mut(self.length..) {
            let count = free.len().min(received.len());
            for (to, from) in free.iter_mut().zip(received) {
                *to = *from;
            }
            self.length += count;
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        if self.length < REMEMBERED {
            self.remember(buffer.filled().get(before..).unwrap_or_default());
        }
        outcome
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
