//! `portcullis completions` and `portcullis man`: what clap knows of the command line, for shells and for `man`.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Context, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis completions bash | sudo tee /etc/bash_completion.d/portcullis")]
pub struct CompletionsArgs {
    /// The shell to complete for
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Where to: `portcullis.1` and a page for every verb; made if it is missing
    directory: PathBuf,
}

pub fn completions(args: CompletionsArgs, _: &Context) -> Result<(), Failure> {
    // Written at once: clap_complete panics where the reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "portcullis", &mut script);
    Ok(std::io::Write::write_all(&mut std::io::stdout(), &script)?)
}

pub fn man(args: ManArgs, _: &Context) -> Result<(), Failure> {
    let cannot = |e: std::io::Error| Failure::failed(format!("{}: {e}", args.directory.display()));
    std::fs::create_dir_all(&args.directory).map_err(cannot)?;
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(cannot)
}
