//! Who is who in a network: its organisations, their authorities, peers, orderers and users, laid out in the
//! folders and under the names that Fabric's test network uses, so that sample applications find them.

pub(crate) mod layout;
mod member;
mod organization;

pub use self::layout::NODE_OUS;
pub use self::member::{KeyPair, Member, Role};
pub use self::organization::{Kind, Organization, OrganizationSpec};
