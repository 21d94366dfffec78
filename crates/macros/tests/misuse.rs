//! What the compiler says to those who use the attributes wrongly.

#[test]
fn misuse_is_explained_where_it_happens() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
