//! Telling protocols apart by their first bytes.

/// What the first bytes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// A TLS record: handshake or alert.
    Tls,
    /// HTTP/2 without TLS: a client's preface or a server's SETTINGS frame.
    Http2,
    /// HTTP/1, a request or a response.
    Http1,
    /// None of these.
    Other,
}

/// HTTP/2's fixed first words of a client.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An empty SETTINGS frame, which either end may send first.
pub(crate) const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;

pub(crate) fn speech(bytes: &[u8]) -> Speech {
    match bytes {
        [HANDSHAKE | ALERT, 3, ..] | [HANDSHAKE | ALERT] => Speech::Tls,
        [b'P', b'R', b'I', ..] => Speech::Http2,
        [0, _, _, kind, ..] if *kind == SETTINGS[3] => Speech::Http2,
        bytes if bytes.starts_with(b"HTTP/") => Speech::Http1,
        bytes if is_http1_method(bytes) => Speech::Http1,
        _ => Speech::Other,
    }
}

fn is_http1_method(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] =
        [b"GET ", b"PUT ", b"POST ", b"HEAD ", b"PATCH ", b"TRACE ", b"DELETE ", b"OPTIONS ", b"CONNECT "];
    METHODS.iter().any(|method| bytes.starts_with(method))
}

/// Shows bytes as text where they are text and as hexadecimal digits elsewhere.
pub(crate) fn show(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    if !line.is_empty() && line.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        format!("\"{}\"", String::from_utf8_lossy(line))
    } else {
        hex::encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart() {
        assert_eq!(speech(&[22, 3, 1, 0, 200]), Speech::Tls);
        assert_eq!(speech(&[21, 3, 3, 0, 2, 2, 40]), Speech::Tls);
        assert_eq!(speech(PREFACE), Speech::Http2);
        assert_eq!(speech(&[0, 0, 12, 4, 0, 0, 0, 0, 0]), Speech::Http2);
        assert_eq!(speech(b"HTTP/1.1 400 Bad Request"), Speech::Http1);
        assert_eq!(speech(b"GET / HTTP/1.1"), Speech::Http1);
        assert_eq!(speech(b"SSH-2.0-OpenSSH_9.2"), Speech::Other);
        assert_eq!(speech(&[]), Speech::Other);
        assert_eq!(show(b"SSH-2.0-x\r\n"), "\"SSH-2.0-x\"");
        assert_eq!(show(&[0, 1]), "0001");
    }
}
