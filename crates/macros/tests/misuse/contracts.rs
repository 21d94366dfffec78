use selvedge_macros::{contract, transaction};

struct Assets;
struct Generic<T>(T);

#[contract(rename = "PascalCase")]
impl Assets {}

#[contract(rename_all = "kebab-case")]
impl Assets {}

#[contract(name = "")]
impl Assets {}

#[contract(name = "org.hyperledger.fabric")]
impl Assets {}

#[contract(default, default)]
impl Assets {}

#[contract]
impl Assets {
    fn unmarked(&self) {}
}

#[contract]
impl Clone for Assets {}

#[contract]
impl<T> Generic<T> {}

#[contract]
struct Other;

impl Assets {
    #[transaction]
    async fn alone(&self) {}
}

fn main() {}
