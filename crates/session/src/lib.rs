//! Both ends of Fabric's chaincode stream as pure state machines, without sockets or clocks.
