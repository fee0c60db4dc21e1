//! Files that nobody means to be there: systems and programs leave them in directories that they are shown or
//! share.

/// Whether a file or directory of this name is left alone wherever it lies.
pub(crate) fn is_clutter(name: &str) -> bool {
    // What macOS and Windows keep beside files, and what NFS and FUSE rename a file to that is removed while
    // it is open.
    matches!(
        name,
        ".DS_Store" | "Thumbs.db" | "desktop.ini" | ".AppleDouble" | ".Spotlight-V100" | ".fseventsd"
    ) || ["._", ".nfs", ".fuse_hidden", ".Trash"].iter().any(|prefix| name.starts_with(prefix))
}

/// The directory that file systems of the ext family have in their root; only root may look into it.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";
