//! TLS alerts: their names in the standard's spelling, and the bare records sent before any handshake.

use rustls::AlertDescription as A;

/// The alert's name as RFC 8446 writes it.
pub(crate) fn name(alert: A) -> String {
    let known = match alert {
        A::CloseNotify => "close_notify",
        A::UnexpectedMessage => "unexpected_message",
        A::HandshakeFailure => "handshake_failure",
        A::BadCertificate => "bad_certificate",
        A::UnsupportedCertificate => "unsupported_certificate",
        A::CertificateRevoked => "certificate_revoked",
        A::CertificateExpired => "certificate_expired",
        A::CertificateUnknown => "certificate_unknown",
        A::IllegalParameter => "illegal_parameter",
        A::UnknownCA => "unknown_ca",
        A::AccessDenied => "access_denied",
        A::DecodeError => "decode_error",
        A::DecryptError => "decrypt_error",
        A::ProtocolVersion => "protocol_version",
        A::InsufficientSecurity => "insufficient_security",
        A::InternalError => "internal_error",
        A::CertificateRequired => "certificate_required",
        A::NoApplicationProtocol => "no_application_protocol",
        A::UnrecognisedName => "unrecognized_name",
        other => {
            return format!("{} (number {})", crate::text::escape(&format!("{other:?}")), u8::from(other));
        }
    };
    known.to_owned()
}

/// Whether the alert speaks about a certificate, and what it says about it.
pub(crate) fn about_certificate(alert: A) -> Option<&'static str> {
    match alert {
        A::UnknownCA => Some("the server does not know the authority that issued it"),
        A::CertificateExpired => Some("it is expired or not yet valid"),
        A::UnsupportedCertificate => Some("its usage (extended key usage) is not for TLS clients"),
        A::AccessDenied => Some("it is valid, but the server's list of allowed clients does not name it"),
        A::CertificateRevoked => Some("it is revoked"),
        A::BadCertificate | A::CertificateUnknown | A::NoCertificate | A::CertificateRequired => {
            Some("the server could not accept it and does not say more")
        }
        A::DecryptError => Some("its signature did not verify"),
        _ => None,
    }
}

/// An unencrypted fatal alert: what a TLS server may say before it has keys.
pub(crate) fn record(alert: A) -> [u8; 7] {
    const FATAL: u8 = 2;
    [21, 3, 3, 0, 2, FATAL, u8::from(alert)]
}
