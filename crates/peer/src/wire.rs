//! Counts a proposal's elements before they are decoded.

use selvedge_proto::wire::{Shape, has_at_most};

/// The most arguments, decorations and transient values of a proposal together. It is our own rule; Fabric has none.
const MAX_PROPOSAL_ELEMENTS: usize = 100_000;

/// A `ChaincodeProposalPayload`, on the way to its arguments.
const PAYLOAD: Shape = Shape(&[(1, &INVOCATION_SPEC)]);
const INVOCATION_SPEC: Shape = Shape(&[(1, &SPEC)]);
const SPEC: Shape = Shape(&[(3, &Shape::FLAT)]);

/// Whether a marshalled `ChaincodeProposalPayload` may be decoded, with what it carries. Anybody can send one, so this
/// is asked before any signature is looked at.
pub(crate) fn proposal_payload_is_bounded(payload: &[u8]) -> bool {
    has_at_most(MAX_PROPOSAL_ELEMENTS, payload, &PAYLOAD)
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

    #[test]
    fn damage_at_the_end_lets_nothing_pass() {
        let damaged = [payload(MAX_PROPOSAL_ELEMENTS, 0), vec![0x0a, 9]].concat();
        assert!(!proposal_payload_is_bounded(&damaged), "the decoder makes what stands before the damage");
    }
}
