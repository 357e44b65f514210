//! Builds shim.c, runs a part of this binary on it, and reads what it wrote down.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// What a process on the shim did to the disk, in order.
#[derive(Clone, Debug)]
pub struct Op {
    pub kind: u8,
    /// Within the directory that is watched; empty for the directory itself.
    pub name: String,
    pub offset: u64,
    pub data: Vec<u8>,
}

fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chaos/shim.c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos-shim.so");
        let fresh = built.with_extension(std::process::id().to_string());
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"];
        let done = Command::new(cc).args(flags).arg(&fresh).args([source, "-ldl"]).status();
        assert!(done.expect("a C compiler, as the database needs one").success());
        std::fs::rename(fresh, &built).expect("it was built");
        built
    })
}

/// A directory under watch, and the switches that break it.
pub struct Watched {
    pub dir: PathBuf,
    trace: PathBuf,
    control: PathBuf,
}

impl Watched {
    /// In a part: what it was started on.
    pub fn of_part() -> Option<Watched> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        Some(Watched { dir: path("CHAOS_DIR")?, trace: path("CHAOS_TRACE")?, control: path("CHAOS_CONTROL")? })
    }
}

/// In a part: its seed.
pub fn seed_of_part() -> u64 {
    crate::number("CHAOS_SEED", 0)
}

/// Which call fails how: see shim.c.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub sync: u8,
    pub write: u8,
    pub read: u8,
}

impl Watched {
    /// `place` gets the directory, the trace and the switches.
    pub fn new(place: &Path) -> Watched {
        let watched = Watched { dir: place.join("state"), trace: place.join("trace"), control: place.join("control") };
        std::fs::create_dir_all(&watched.dir).expect("a directory");
        std::fs::write(&watched.control, [0; 16]).expect("the switches");
        watched
    }

    pub fn set(&self, faults: Faults) {
        use std::os::unix::fs::FileExt;
        let control = std::fs::File::options().write(true).open(&self.control).expect("the switches");
        control.write_all_at(&[faults.sync, faults.write, faults.read], 0).expect("the switches");
    }

    /// The faults that were met so far.
    pub fn met(&self) -> u64 {
        let control = std::fs::read(&self.control).expect("the switches");
        u64::from_le_bytes(control[8..16].try_into().expect("eight bytes"))
    }

    /// What puts a process on the shim.
    pub fn environment(&self) -> [(&str, &Path); 4] {
        [
            ("LD_PRELOAD", library()),
            ("CHAOS_DIR", &self.dir),
            ("CHAOS_TRACE", &self.trace),
            ("CHAOS_CONTROL", &self.control),
        ]
    }

    /// Starts an ignored test of this binary on the shim.
    pub fn start(&self, part: &str, seed: u64) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", part, "--ignored", "--nocapture"]).env("CHAOS_SEED", seed.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command.envs(self.environment()).spawn().expect("it starts")
    }

    /// Runs one to its end.
    pub fn run(&self, part: &str, seed: u64) {
        let done = self.start(part, seed).wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{part} with seed {seed}: {said}");
    }

    pub fn ops(&self) -> Vec<Op> {
        let bytes = std::fs::read(&self.trace).unwrap_or_default();
        let root = self.dir.to_string_lossy().into_owned();
        let (mut ops, mut rest) = (Vec::new(), &bytes[..]);
        let take = |rest: &mut &[u8], n: usize| {
            let (head, tail) = rest.split_at(n);
            *rest = tail;
            head.to_vec()
        };
        while !rest.is_empty() {
            let kind = take(&mut rest, 1)[0];
            let length = u16::from_le_bytes(take(&mut rest, 2).try_into().expect("two"));
            let name = String::from_utf8(take(&mut rest, length.into())).expect("a name");
            let offset = u64::from_le_bytes(take(&mut rest, 8).try_into().expect("eight"));
            let length = u32::from_le_bytes(take(&mut rest, 4).try_into().expect("four"));
            let data = take(&mut rest, length as usize);
            let name = name.strip_prefix(&root).unwrap_or(&name).trim_start_matches('/').to_owned();
            ops.push(Op { kind, name, offset, data });
        }
        ops
    }
}
