use selvedge_macros::contract;

struct Assets;

#[contract]
impl Assets {
    #[before_transaction]
    fn not_async(&self, ctx: &Query) -> Result<(), String> {
        Ok(())
    }

    #[before_transaction(always)]
    async fn options(&self, ctx: &Query) -> Result<(), String> {
        Ok(())
    }

    #[before_transaction]
    async fn too_much(&self, ctx: &Query, response: &Response) -> Result<(), String> {
        Ok(())
    }

    #[after_transaction]
    async fn without_response(&self, ctx: &Query) -> Result<(), String> {
        Ok(())
    }

    #[unknown_transaction]
    async fn unknown(&self, ctx: &Query, function: &str) -> Result<(), String> {
        Ok(())
    }

    #[unknown_transaction]
    async fn unknown_too(&self, ctx: &Query, function: &str) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn writes(&self, ctx: &Query, #[private("c")] all: CollectionContext) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn unnamed(&self, ctx: &Query, #[private] all: Collection) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn both(&self, ctx: &Query, #[transient] #[private("c")] all: Collection) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn empty(&self, ctx: &Query, #[transient("")] price: u64) -> Result<(), String> {
        Ok(())
    }
}

fn main() {}
