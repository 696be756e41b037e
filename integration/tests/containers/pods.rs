//! Pods of Kubernetes.

use convis_integration::actors::free_port;
use convis_integration::containers::{Detached, check_both};
use convis_integration::convis::Convis;
use convis_integration::namespace::Namespace;
use convis_integration::runtimes::{Containerd, PodSpec};
use convis_integration::{need, turns};

use crate::common::{OF_A_CONNECTION, connect, events, serve, short};

const fn pod<'a>(name: &'a str, namespace: &'a str, uid: &'a str) -> PodSpec<'a> {
    PodSpec { name, namespace, uid, labels: &[], annotations: &[] }
}

/// Scenario: a pod connects to a pod over the bridge of their host, another container of it within its own network.
/// Guarantees: both ends' events name pod, namespace, uid, container, image and service of both.
#[test]
fn pods_name_each_other() {
    need!(Containerd::network_available());
    let network = need!(Namespace::new());
    let _turn = turns::together();
    let mut containerd = Containerd::start_in(&network);
    let shop = pod("cart-7f9c-x2", "shop", "5b6a7c3e-0c51-4a39-8d1b-0f4d7d9f2c11");
    let data = pod("db-0", "data", "0e8f1a2b-3c4d-4e5f-8a9b-1c2d3e4f5a6b");
    let [near, far] = [shop, data].map(|spec| containerd.run_pod(spec));
    let socket = format!("unix://{}", containerd.socket().display());
    let convis = Convis::start(&["--container-runtime", "cri", "--cri-endpoint", &socket]);
    for (number, (client, server)) in
        [((&near, shop), (&far, data)), ((&far, data), (&far, data))].into_iter().enumerate()
    {
        let port = free_port();
        let names = ["server", "client"].map(|name| format!("{name}-{number}"));
        let serving = Detached::in_pod(&containerd, server.0, server.1, &names[0], &serve("0.0.0.0", port));
        let asks = connect(containerd.address_of(server.0), port, &short());
        let client = Detached::in_pod(&containerd, client.0, client.1, &names[1], &asks).finish(1);
        let events = events(&convis, port, OF_A_CONNECTION);
        assert_eq!(check_both(&events, &client, &[&serving.finish(1)]), OF_A_CONNECTION);
    }
}
