//! The first root is lost: the second one signs the next keyset.

use super::Drill;

impl Drill {
    pub(crate) fn lose_the_first_root(&mut self) {
        std::fs::remove_file(self.plant.path("office/root.key")).unwrap();
        self.plant.office("keyset sign --root root.key").failed(5);
        let sequence = self.plant.publish_with("second.key");
        self.until_fetched(sequence);
        self.progress(2);
        self.tell("lose the first root", format!("keyset {sequence} is signed by the second one and in use"));
    }
}
