//! Writes every test vector into its folder, and removes files that are no longer written.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use taskseal_vectors::generate;

fn main() -> io::Result<()> {
    for (area, files) in generate::areas() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(area);
        fs::create_dir_all(&folder)?;
        let names: BTreeSet<_> = files.iter().map(|file| format!("{}.txt", file.name())).collect();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if !names.contains(entry.file_name().to_string_lossy().as_ref()) {
                fs::remove_file(entry.path())?;
            }
        }
        for file in &files {
            fs::write(folder.join(format!("{}.txt", file.name())), file.to_string())?;
        }
        println!("{area}: {} files", files.len());
    }
    Ok(())
}
