//! `qiliang check`: all problems at once.
pub(super) fn run(_config: Option<&std::path::Path>) -> Result<(), super::Failure> {
    Ok(())
}
