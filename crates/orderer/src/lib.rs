//! An embedded single-node ordering service: block cutting and AtomicBroadcast.
