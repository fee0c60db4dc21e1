//! Files that a fleet is made of.

/// Whether these are the bytes that Git LFS leaves in place of a file where its content was not fetched.
pub(crate) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// How to get the content of such a file.
pub(crate) const FETCH_LFS: &str =
    "`git lfs pull` fetches the file; in CI, let the checkout include LFS files";
