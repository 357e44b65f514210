//! The control socket: the API for those who may administer this machine's hub, without a key.
//!
//! Who may: root, the user that runs the hub, and members of the group `portcullis`. The file's mode says so (0660), and the
//! kernel's word on who connects is checked again, since a mode can be changed by accident.

use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tokio::net::UnixListener;

use super::envelope::{self, ApiError};
use super::keys::Scope;

/// The group whose members may use the socket.
const GROUP: &str = "portcullis";
/// Where the socket is when the hub is installed as a service: the unit's `RuntimeDirectory=`.
pub const RUNTIME_DIR: &str = "/run/portcullis";
const NAME: &str = "control.sock";

/// Where a hub with this `state_dir` has its socket, best first; the daemon binds the first that it can, a client tries each.
pub fn paths(state_dir: &Path) -> Vec<PathBuf> {
    let installed = state_dir == Path::new(crate::config::STATE_DIR);
    let runtime = installed.then(|| Path::new(RUNTIME_DIR).join(NAME));
    runtime.into_iter().chain([state_dir.join(NAME)]).collect()
}

/// Binds the socket of the hub that holds `state_dir`'s lock: a file left over there is nobody's.
pub fn bind(state_dir: &Path) -> io::Result<(UnixListener, PathBuf)> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for path in paths(state_dir) {
        match bind_at(&path) {
            Ok(listener) => return Ok((listener, path)),
            Err(error) => last = io::Error::new(error.kind(), format!("{}: {error}", path.display())),
        }
    }
    Err(last)
}

fn bind_at(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    if let Ok(Some(group)) = Group::from_name(GROUP) {
        // Only root, or a member, may give it away; without, it is the hub's own user's.
        let _ = chown(path, None, Some(group.gid.as_raw()));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers until it is dropped.
pub async fn serve(listener: UnixListener, router: Router) -> io::Result<()> {
    let router = router.layer(middleware::from_fn(admit)).layer(middleware::from_fn(envelope::request_id));
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).await
}

/// Who is at the other end, as the kernel tells it.
#[derive(Clone, Copy, Debug)]
struct Peer(Option<(Uid, Gid)>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Peer {
        let peer = stream.io().peer_cred().ok();
        Peer(peer.map(|p| (Uid::from_raw(p.uid()), Gid::from_raw(p.gid()))))
    }
}

async fn admit(ConnectInfo(peer): ConnectInfo<Peer>, mut request: Request, next: Next) -> Response {
    if peer.0.is_some_and(|(uid, gid)| may(uid, gid)) {
        request.extensions_mut().insert(Scope::Admin);
        return next.run(request).await;
    }
    tracing::warn!(?peer, "control.refused");
    ApiError::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        format!("only root, the hub's own user and members of the group {GROUP} may use the control socket (adduser YOU {GROUP})"),
    )
    .into_response()
}

fn may(uid: Uid, gid: Gid) -> bool {
    if uid.is_root() || uid == geteuid() {
        return true;
    }
    let Ok(Some(group)) = Group::from_name(GROUP) else { return false };
    let groups = || {
        let name = User::from_uid(uid).ok()??.name;
        getgrouplist(&std::ffi::CString::new(name).ok()?, gid).ok()
    };
    gid == group.gid || groups().is_some_and(|groups| groups.contains(&group.gid))
}
