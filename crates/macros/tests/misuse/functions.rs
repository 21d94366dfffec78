use selvedge_macros::contract;

struct Assets;

#[contract]
impl Assets {
    #[transaction]
    async fn no_receiver(ctx: &Context) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn wrong_receiver(&mut self, ctx: &Context) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn no_context(&self) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn context_is_missing(&self, id: String) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn context_by_value(&self, ctx: Context) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    fn not_async(&self, ctx: &Query) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn generic<T>(&self, ctx: &Query, id: T) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn anything(&self, ctx: &Query, id: impl Into<String>) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn borrowed(&self, ctx: &Query, id: &str) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn pattern(&self, ctx: &Query, (a, b): (u8, u8)) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn no_result(&self, ctx: &Query) {}

    #[transaction]
    async fn other_result(&self, ctx: &Query) -> u64 {
        1
    }

    #[transaction(tag = "EVALUATE")]
    async fn unknown_option(&self, ctx: &Query) -> Result<(), String> {
        Ok(())
    }

    #[transaction(name = "a:b")]
    async fn colon(&self, ctx: &Query) -> Result<(), String> {
        Ok(())
    }

    #[transaction]
    async fn twice(&self, ctx: &Query) -> Result<(), String> {
        Ok(())
    }

    #[transaction(name = "twice")]
    async fn again(&self, ctx: &Query) -> Result<(), String> {
        Ok(())
    }
}

fn main() {}
