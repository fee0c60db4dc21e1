//! Answers that are waiting together are committed together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use otapress_devices::device::http::{Framing, Request};
use otapress_responder::store::{Durability, Lease, Store, StoreError, Work};
use otapress_server::http::Limits;

use crate::support::server::{Server, sqlite};
use crate::support::tree::{SITE, Tree};

/// A store that waits for a sign before its first transaction, and counts its commits.
struct Gated {
    store: Box<dyn Store>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    commits: Arc<AtomicUsize>,
}

impl Store for Gated {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let (open, sign) = &*self.gate;
        drop(sign.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        self.store.read(work)
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.store.write(durability, work)
    }

    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        self.store.lease(name)
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        self.store.maintain()
    }
}

#[test]
fn waiting_results_share_a_commit() {
    const CLIENTS: usize = 40;
    let mut tree = Tree::new();
    let release = tree.release("0.10.66");
    let imeis: Vec<String> = (0..CLIENTS).map(|i| format!("3520990000000{i:02}")).collect();
    for (i, imei) in imeis.iter().enumerate() {
        tree.offer(&format!("dev{i}"), imei, &release);
    }
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let commits = Arc::new(AtomicUsize::new(0));
    let open = {
        let (gate, commits) = (gate.clone(), commits.clone());
        let mut open = sqlite(&tree);
        Box::new(move |until| {
            Ok(Box::new(Gated { store: open(until)?, gate: gate.clone(), commits: commits.clone() })
                as Box<dyn Store>)
        })
    };
    let server = Server::start_with(&tree, Limits::default(), open);
    std::thread::scope(|scope| {
        let clients: Vec<_> = imeis
            .iter()
            .enumerate()
            .map(|(i, imei)| {
                let network = server.device("dev", imei, "0.10.65").network;
                let url = format!("{SITE}/otap/notify?id=dev{i}");
                let request = Request::post(&url, b"900 Success", Framing::Length)
                    .header("User-Agent", &format!("TC65i/{imei}"));
                scope.spawn(move || network.exchange(&request).unwrap().status)
            })
            .collect();
        // Time for all of them to get in line behind the first.
        std::thread::sleep(std::time::Duration::from_millis(500));
        let (open, sign) = &*gate;
        *open.lock().unwrap() = true;
        sign.notify_all();
        for client in clients {
            assert_eq!(client.join().unwrap(), 200);
        }
    });
    let commits = commits.load(Ordering::SeqCst);
    // The first one alone, the others together; a slow machine may need a third.
    assert!((1..=5).contains(&commits), "{commits} commits for {CLIENTS} results");
}
