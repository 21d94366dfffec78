//! Values at the limit of a message, 100 MiB, and above it.

use bytes::Bytes;
use selvedge_client::ProposalBuilder;
use selvedge_proto::gateway::EvaluateRequest;
use tonic::Code;

use crate::endorser::PROCESS_PROPOSAL;
use crate::gateway::EVALUATE;
use crate::support::CHANNEL;
use crate::support::forge::encode;
use crate::{STAGE, Stage};

const LIMIT: usize = 100 << 20;

fn request(stage: &Stage, argument: usize) -> Bytes {
    let call = ProposalBuilder::new(CHANNEL, "basic").arg("echo").arg(vec![7; argument]);
    let proposed_transaction = Some(call.sign(&stage.identity).unwrap().signed);
    encode(&EvaluateRequest { proposed_transaction, ..EvaluateRequest::default() })
}

/// A chaincode gets its arguments twice, by themselves and in the proposal, so that half the limit is the most that
/// reaches it.
#[test]
fn arguments_of_40_mib_come_back_and_those_above_the_limit_are_refused() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let answer = line.call(EVALUATE, &[request(stage, 40 << 20)], 1).await;
        assert!(answer.messages[0].len() > 40 << 20);

        // The peer takes it, and it is too much for the chaincode's stream, on which another call waits.
        let answer = line.call(EVALUATE, &[request(stage, 60 << 20)], 1).await;
        crate::is_clear("60 MiB", answer.ended());
        stage.works(&line).await;

        let above = request(stage, LIMIT);
        for path in [EVALUATE, PROCESS_PROPOSAL] {
            let answer = line.call(path, std::slice::from_ref(&above), 1).await;
            let (code, message) = answer.ended();
            assert!(matches!(code, Code::OutOfRange | Code::ResourceExhausted), "{path}: {code:?} {message}");
            assert!(message.contains("104857600"), "{path}: {message}");
        }
        stage.works(&line).await;
    });
}
