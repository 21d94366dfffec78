use selvedge_macros::{ErrorCode, State};

#[derive(ErrorCode)]
struct NoEnum;

#[derive(ErrorCode)]
enum Codes {
    Missing,
    #[code("two words")]
    Words,
    #[code("LOW", status = 200)]
    Low,
    #[code("MORE", text = "x")]
    More,
}

#[derive(State)]
struct NoKey {
    id: String,
}

#[derive(State)]
struct TwoKeys {
    #[key]
    id: String,
    #[key]
    owner: String,
}

#[derive(State)]
struct Unnamed(String);

#[derive(State)]
enum Choice {
    One,
}

#[derive(State)]
#[state(table = "x")]
struct Option {
    #[key]
    id: String,
}

fn main() {}
