//! The two folders from which MED-V takes a client computer's first image.

/// The folder of all images of a client computer. MED-V fixes the name.
pub const IMAGES: &str = "MED-V Images";

/// The folder in it from which the first image is taken. MED-V fixes the name.
pub const PRESTAGED: &str = "PrestagedImages";
