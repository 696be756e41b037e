use proptest::prelude::*;

use super::super::procfs::chosen;
use super::*;

/// Stand-ins that keep the table readable: ids of 64 digits, a task's or a hash's 32, a uid with dashes and with `_`.
const SHORT: [(&str, &str); 6] = [
    ("<A>", "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e"),
    ("<B>", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
    ("<H>", "0123456789abcdef0123456789abcdef"),
    ("<U>", "a1b2c3d4-0001-4002-8003-0123456789ab"),
    ("<u>", "a1b2c3d4_0001_4002_8003_0123456789ab"),
    ("<G>", "a1b2c3d4-0001-4002-8003-89ab"),
];

/// Path, then what it tells. `user@` stands for the slices of a rootless user.
const TABLE: &[(&str, &str)] = &[
    // docker cgroupfs, systemd, rootless, old
    ("/docker/<A>", "id <A>, docker"),
    ("/docker/<A>/init", "id <A>, docker"),
    ("/system.slice/docker-<A>.scope", "id <A>, docker"),
    ("/system.slice/docker-<A>.scope/init.scope", "id <A>, docker"),
    ("/system.slice/docker-<A>.scope/system.slice/nginx.service", "id <A>, docker"),
    ("user@/user.slice/docker-<A>.scope", "id <A>, docker"),
    ("/<A>", "id <A>"),
    // k8s cgroupfs, static pod
    ("/kubepods/burstable/pod<U>/<A>", "id <A>, pod <U>"),
    ("/kubepods/besteffort/pod<U>/<A>", "id <A>, pod <U>"),
    ("/kubepods/pod<U>/<A>", "id <A>, pod <U>"),
    ("/kubepods/burstable/pod<H>/<A>", "id <A>, pod <H>"),
    ("/kubepods.slice/kubepods-pod<H>.slice/cri-containerd-<A>.scope", "id <A>, containerd, pod <H>"),
    // k8s systemd: containerd, docker, cri-o
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u>.slice/cri-containerd-<A>.scope",
        "id <A>, containerd, pod <U>",
    ),
    ("/kubepods.slice/kubepods-pod<u>.slice/docker-<A>.scope", "id <A>, docker, pod <U>"),
    ("/kubepods.slice/kubepods-besteffort-pod<u>.slice/crio-<A>.scope", "id <A>, cri-o, pod <U>"),
    ("/kubepods.slice/kubepods-besteffort-pod<u>.slice/crio-<A>.scope/container", "id <A>, cri-o, pod <U>"),
    // cri-o cgroupfs and conmon
    ("/kubepods/pod<U>/crio-<A>", "id <A>, cri-o, pod <U>"),
    ("/kubepods.slice/kubepods-pod<u>.slice/crio-conmon-<A>.scope", "pod <U>"),
    ("/kubepods/pod<U>/crio-conmon-<A>", "pod <U>"),
    ("/docker/<A>/kubepods.slice/kubepods-pod<u>.slice/crio-conmon-<B>.scope", "id <A>, docker, pod <U>"),
    // containerd without SystemdCgroup, and without .scope
    (
        "/system.slice/containerd.service/kubepods-burstable-pod<u>.slice:cri-containerd:<A>",
        "id <A>, containerd, pod <U>",
    ),
    ("/kubepods-burstable-pod<u>.slice:cri-containerd:<A>", "id <A>, containerd, pod <U>"),
    ("/kubepods.slice/kubepods-pod<u>.slice/cri-containerd-<A>", "id <A>, containerd, pod <U>"),
    // kind, dind: the last
    (
        "/docker/<B>/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
         kubelet-kubepods-besteffort-pod<u>.slice/cri-containerd-<A>.scope",
        "id <A>, containerd, pod <U>",
    ),
    ("/docker/<A>/kubelet.slice/kubelet.service", "id <A>, docker"),
    ("/system.slice/docker-<B>.scope/kubepods/burstable/pod<U>/<A>", "id <A>, pod <U>"),
    ("/kubepods/burstable/pod<U>/<B>/docker/<A>", "id <A>, docker, pod <U>"),
    // nerdctl, ctr
    ("/system.slice/nerdctl-<A>.scope", "id <A>, containerd"),
    ("user@/user.slice/nerdctl-<A>.scope", "id <A>, containerd"),
    ("/system.slice/nerdctl-my-redis.0001.scope", "id my-redis.0001, containerd"),
    ("/default/<A>", "id <A>, containerd"),
    ("/default/my-own-redis", "id my-own-redis, containerd"),
    ("/default/short", ""),
    ("/default/not..containerd's", ""),
    ("/a/default/my-own-redis", ""),
    ("/k8s.io/<A>", "id <A>, containerd"),
    // podman rootful, rootless, split, conmon, pods, health checks
    ("/machine.slice/libpod-<A>.scope", "id <A>, podman"),
    ("/machine.slice/libpod-<A>.scope/container", "id <A>, podman"),
    ("/libpod_parent/libpod-<A>", "id <A>, podman"),
    ("user@/user.slice/libpod-<A>.scope", "id <A>, podman"),
    ("user@/user.slice/libpod-<A>.scope/container", "id <A>, podman"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/podman-123.scope/<A>", "id <A>, podman"),
    ("/system.slice/test.service/libpod-payload-<A>", "id <A>, podman, unit test.service"),
    ("/system.slice/test.service/libpod-payload-<A>/a/b", "id <A>, podman, unit test.service"),
    ("user@/app.slice/web.service/libpod-payload-<A>", "id <A>, podman, unit web.service"),
    ("/system.slice/test.service/runtime", "unit test.service"),
    ("/machine.slice/libpod-conmon-<A>.scope", ""),
    ("user@/user.slice/libpod-conmon-<A>.scope", ""),
    ("/libpod_parent/conmon", ""),
    ("/machine.slice/machine-libpod_pod_<B>.slice/libpod-<A>.scope", "id <A>, podman"),
    ("/machine.slice/machine-libpod_pod_<B>.slice", ""),
    ("/system.slice/<A>.service", "unit <A>.service"),
    // ECS, Fargate
    ("/ecs/<H>/<A>", "id <A>, docker"),
    ("/ecs/default/<U>/<A>", "id <A>, docker"),
    ("/ecstasks.slice/ecstasks-<H>.slice/docker-<A>.scope", "id <A>, docker"),
    ("/ecs/<H>/<H>-1234567890", "id <H>-1234567890, ecs"),
    ("/ecs/<H>/<H>-", ""),
    // LXC
    ("/lxc/web", "lxc, machine web"),
    ("/lxc/web/system.slice/nginx.service", "lxc, machine web"),
    ("/lxc.payload/web", "lxc, machine web"),
    ("/lxc.payload.web", "lxc, machine web"),
    ("/lxc.payload.web/system.slice/nginx.service", "lxc, machine web"),
    ("/lxc.payload.outer/lxc.payload.inner/init.scope", "lxc, machine inner"),
    ("/lxc.payload.web/docker/<A>", "id <A>, docker, machine web"),
    ("/lxc.monitor.web", ""),
    ("/lxc.monitor/web", ""),
    ("/lxc.monitor.<A>", ""),
    (r"/machine.slice/machine-lxc\x2d2255\x2dmy\x2dweb.scope", "lxc, machine my-web"),
    (r"/machine.slice/machine-lxc\x2dweb.scope/init.scope", "lxc, machine web"),
    (r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/emulator", ""),
    // systemd-nspawn
    ("/machine.slice/machine-deb.scope", "systemd-nspawn, machine deb"),
    (
        r"/machine.slice/machine-my\x2ddeb.scope/payload/system.slice/a.service",
        "systemd-nspawn, machine my-deb",
    ),
    (r"/machine.slice/systemd-nspawn@my\x2ddeb.service/payload", "systemd-nspawn, machine my-deb"),
    ("/machine.slice/systemd-nspawn@deb.service", "systemd-nspawn, machine deb"),
    ("/machine.slice/systemd-nspawn@deb.service/supervisor", "unit systemd-nspawn@deb.service"),
    // Garden, Mesos, rkt, BPM
    ("/garden/<G>", "id <G>, garden"),
    ("/mesos/<U>", "id <U>, mesos"),
    ("/sessions/<U>", ""),
    (
        r"/machine.slice/machine-rkt\x2da1b2c3d4\x2d0001\x2d4002\x2d8003\x2d0123456789ab.scope/a",
        "id <U>, rkt",
    ),
    ("/system.slice/bpm-nats.scope", "id nats, bpm"),
    ("/system.slice/runit/bpm-nats", "id nats, bpm"),
    ("/system.slice/bpm-nats.service", "unit bpm-nats.service"),
    // Talos
    ("/podruntime/runtime", "unit runtime"),
    ("/podruntime/kubelet", "unit kubelet"),
    ("/system/apid", "unit apid"),
    ("/init", "unit init"),
    // units
    ("/system.slice/nginx.service", "unit nginx.service"),
    ("/system.slice/nginx.service/workers/1", "unit nginx.service"),
    ("/system.slice/system-getty.slice/getty@tty1.service", "unit getty@tty1.service"),
    (r"/system.slice/my\x2dapp\x5c.service", r"unit my-app\.service"),
    ("/system.slice/_memory.service", "unit memory.service"),
    (r"/system.slice/odd\x0a\xff\x2.service", r"unit odd\x0a\xff\x2.service"),
    ("/user.slice/user-1000.slice/session-3.scope", ""),
    ("user@/app.slice/dbus.service", "unit dbus.service"),
    ("user@/init.scope", "unit user@1000.service"),
    ("user@/app.slice/app-firefox-12.scope", ""),
    ("/init.scope", ""),
    ("/system.slice/var-lib-docker-overlay2-<A>-merged.mount", ""),
    ("/system.slice/run-<A>.mount", ""),
    ("/", ""),
    ("", ""),
    // cgroup namespace of one's own
    ("/../../kubepods-burstable-pod<u>.slice/cri-containerd-<A>.scope", "id <A>, containerd, pod <U>"),
    ("/../../pod<U>/<A>", "id <A>, pod <U>"),
    ("/../<A>", "id <A>"),
    ("/../../../system.slice/nginx.service", "unit nginx.service"),
    // dead cgroups
    ("/docker/<A> (deleted)", "id <A>, docker"),
    ("/system.slice/docker-<A>.scope (deleted)", "id <A>, docker"),
    ("/system.slice/nginx.service (deleted)", "unit nginx.service"),
    // what only looks like an id
    ("/docker/<A>0", ""),
    ("/docker/x<A>", ""),
    ("/docker/6F0D2F4A1C3B5E7D9F8A0B2C4D6E8F1A3B5C7D9E0F2A4B6C8D0E1F3A5B7C9D2E", ""),
    ("/system.slice/other-<A>.scope", "id <A>"),
    ("/tripod<H>", ""),
    ("/process_api/<H>", ""),
];

fn long(text: &str) -> String {
    let text = text.replace("user@/", "/user.slice/user-1000.slice/user@1000.service/");
    SHORT.iter().fold(text, |text, (short, long)| text.replace(short, long))
}

fn show(place: &Place) -> String {
    let parts = [
        place.container_id.as_ref().map(|id| format!("id {id}")),
        place.runtime.map(|runtime| runtime.name().to_owned()),
        place.machine.as_ref().map(|name| format!("machine {name}")),
        place.pod_uid.as_ref().map(|uid| format!("pod {uid}")),
        place.unit.as_ref().map(|unit| format!("unit {unit}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Scenario: every layout of cgroups that runtimes and systemd are known to make, nested ones, helpers and look-alikes.
/// Guarantees: container, runtime, machine, pod and unit of each.
#[test]
fn reads_every_layout() {
    for (path, expected) in TABLE {
        assert_eq!(show(&Place::of(&long(path))), long(expected), "{path}");
    }
}

/// Scenario: every layout as version 2 shows it, as version 1 does in one of its hierarchies, and as a hybrid does whose
/// version 2 hierarchy shows it or only the root.
/// Guarantees: the same as of the path alone.
#[test]
fn reads_every_layout_of_every_version() {
    for (path, expected) in TABLE.iter().filter(|(path, _)| !path.is_empty()) {
        let path = long(path);
        for text in [
            format!("0::{path}\n"),
            format!("11:memory:{path}\n10:cpu,cpuacct:/\n1:name=systemd:/\n"),
            format!("3:pids:{path}\n1:name=systemd:{path}\n0::{path}\n"),
            format!("1:name=systemd:{path}\n0::/\n"),
        ] {
            assert_eq!(show(&chosen(&text).unwrap().1), long(expected), "{text}");
        }
    }
}

/// Scenario: paths of a hundred times the longest there is, made of what the reader looks for.
/// Guarantees: it ends; a reader that is not linear would take longer than anybody waits.
#[test]
fn reads_long_paths() {
    for part in
        ["/", "/..", "pod", "-", ":", r"\x2d", "/ecs", "/docker/", "/lxc", "/default/a-", "a.service/", "0"]
    {
        let path = part.repeat(400_000 / part.len());
        Place::of(&path);
        Place::of(&(path + ".service"));
    }
}

proptest! {
    /// Scenario: any text, and any sequence of what paths are made of.
    /// Guarantees: no panic; an id, a uid and a machine are part of the path, and a unit is of nothing but the host's.
    #[test]
    fn tells_only_what_is_there(
        any in ".*",
        parts in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(TABLE).prop_map(|(path, _)| long(path)),
                proptest::sample::select(&[
                    "/", "-", ":", "..", "pod", "lxc", "bpm-", "default", r"\x2d", r"\x", "machine-", ".scope",
                    ".service", ".slice", "libpod-payload-", "mesos", "é", "supervisor", " (deleted)",
                ]).prop_map(str::to_owned),
            ],
            0..8,
        ),
    ) {
        for path in [&any, &parts.concat()] {
            let place = Place::of(path);
            // Each segment by itself: one that is no text stays as it is.
            let plain: Vec<_> = path.split('/').map(unit::unescape).collect();
            let plain = plain.join("/").replace('_', "-");
            for text in [&place.container_id, &place.pod_uid, &place.machine].into_iter().flatten() {
                let there = path.contains(text.as_str()) || plain.contains(&text.replace('_', "-"));
                prop_assert!(there && !text.is_empty(), "{path} {text}");
            }
            prop_assert!(place.runtime.is_none() || !place.is_host());
            prop_assert!(place.unit.is_none() || place.machine.is_none() || place.container_id.is_some());
        }
    }

    /// Scenario: any lines, some of them of what `/proc/<pid>/cgroup` is made of.
    /// Guarantees: no panic; the path that is chosen stands there, and what it tells is what it tells by itself.
    #[test]
    fn chooses_what_is_there(
        lines in proptest::collection::vec(
            ("[0-9]{0,2}", "(|memory|name=systemd|cpu,cpuacct|.{0,9})", "[:]{0,2}", proptest::sample::select(TABLE), ".{0,9}"),
            0..5,
        ),
    ) {
        let line = |(number, controllers, mark, (path, _), rest): (String, String, String, (&str, &str), String)| {
            format!("{number}:{controllers}{mark}{}{rest}\n", long(path))
        };
        let text: String = lines.into_iter().map(line).collect();
        if let Some((path, place)) = chosen(&text) {
            prop_assert!(path.starts_with('/') && text.contains(path));
            prop_assert_eq!(place, Place::of(path));
        }
    }

    /// Scenario: a container's path below any other path.
    /// Guarantees: the container is the inner one.
    #[test]
    fn the_inner_one_counts(outer in proptest::sample::select(TABLE)) {
        let place = Place::of(&long(&format!("{}/docker/<B>", outer.0.trim_end_matches(" (deleted)"))));
        prop_assert_eq!(place.container_id, Some(long("<B>")));
        prop_assert_eq!(place.runtime, Some(Runtime::Docker));
    }
}
