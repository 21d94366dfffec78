//! A client of Fabric's gateway, endorser, deliver and broadcast services.
