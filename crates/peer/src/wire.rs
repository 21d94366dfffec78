//! Counts the elements of messages before they are decoded: an empty element takes two bytes on the wire and many times
//! as many in memory.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// The most arguments, decorations and transient values of a proposal together. It is our own rule; Fabric has none.
const MAX_PROPOSAL_ELEMENTS: usize = 100_000;

/// Field numbers on the way to a proposal's arguments.
const PAYLOAD_INPUT: u32 = 1;
const INVOCATION_SPEC: u32 = 1;
const SPEC_INPUT: u32 = 3;

/// Visits the length-delimited fields of a message.
pub(crate) fn each_field(
    mut message: &[u8],
    mut visit: impl FnMut(u32, &[u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while !message.is_empty() {
        let (field, wire_type) = decode_key(&mut message)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, field, &mut message, DecodeContext::default())?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut message)?).unwrap_or(usize::MAX);
        // What is cut short is refused by the decoder, with its own words.
        let Some((content, rest)) = message.split_at_checked(length) else { return Ok(()) };
        visit(field, content)?;
        message = rest;
    }
    Ok(())
}

/// Whether a marshalled `ChaincodeProposalPayload` may be decoded, with what it carries. Anybody can send one, so this
/// is asked before any signature is looked at. What is not protobuf is left to the decoder.
pub(crate) fn proposal_payload_is_bounded(payload: &[u8]) -> bool {
    let mut count = 0_usize;
    let counted = each_field(payload, |field, invocation| {
        count += 1;
        if field != PAYLOAD_INPUT {
            return Ok(());
        }
        each_field(invocation, |field, spec| {
            count += 1;
            if field != INVOCATION_SPEC {
                return Ok(());
            }
            each_field(spec, |field, input| {
                count += 1;
                if field != SPEC_INPUT {
                    return Ok(());
                }
                each_field(input, |_, _| {
                    count += 1;
                    Ok(())
                })
            })
        })
    });
    counted.is_err() || count <= MAX_PROPOSAL_ELEMENTS
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use selvedge_proto::protos::{
        ChaincodeInput, ChaincodeInvocationSpec, ChaincodeProposalPayload, ChaincodeSpec,
    };

    use super::{MAX_PROPOSAL_ELEMENTS, proposal_payload_is_bounded};

    fn payload(arguments: usize, transient: usize) -> Vec<u8> {
        let input = ChaincodeInput { args: vec![bytes::Bytes::new(); arguments], ..Default::default() };
        let spec = ChaincodeSpec { input: Some(input), ..Default::default() };
        let invocation = ChaincodeInvocationSpec { chaincode_spec: Some(spec) };
        let transient_map = (0..transient).map(|number| (number.to_string(), "value".into())).collect();
        ChaincodeProposalPayload { input: invocation.encode_to_vec().into(), transient_map }.encode_to_vec()
    }

    #[test]
    fn arguments_and_transient_values_are_counted_together() {
        assert!(proposal_payload_is_bounded(&payload(50_000, 49_000)));
        assert!(!proposal_payload_is_bounded(&payload(MAX_PROPOSAL_ELEMENTS, 0)));
        assert!(!proposal_payload_is_bounded(&payload(60_000, 50_000)));
    }

    #[test]
    fn pieces_of_a_message_count_as_one() {
        let pieces = [payload(60_000, 0), payload(60_000, 0)].concat();
        assert!(!proposal_payload_is_bounded(&pieces), "the decoder merges what comes twice");
    }
}
