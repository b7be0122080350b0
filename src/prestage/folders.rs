//! The two folders that MED-V takes a client computer's first image from.

/// The folder of all images of a client computer. MED-V fixes the name.
pub const IMAGES: &str = "MED-V Images";

/// The folder in it that the first image is taken from. MED-V fixes the name.
pub const PRESTAGED: &str = "PrestagedImages";
