//! Has cargo build the program for the integration tests, whose package it does not know to need it.

#[test]
fn the_program_that_the_integration_tests_start_is_built() {
    assert!(std::path::Path::new(env!("CARGO_BIN_EXE_imagedepot")).exists());
}
