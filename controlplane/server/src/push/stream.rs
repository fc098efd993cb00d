//! One node's stream: frames in, frames out, and the machine between them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sluice_cluster::{NodeId, Registration, Report, interest::InterestFrame};
use sluice_discovery::{
    CloseReason, Nonce, ServerStream, Snapshot, Up,
    wire::{FromControl, FromNode},
};
use sluice_proto::push::v1 as pb;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::{Event, NodeStatus, Push, PushSettings, StreamId, Streams, Tables};

/// Everything that belongs to a stream.
pub(super) struct StreamTask {
    id: StreamId,
    node: NodeId,
    remote: Option<SocketAddr>,
    settings: PushSettings,
    streams: Arc<Streams>,
    events: mpsc::Sender<Event>,
    up: Streaming<pb::Up>,
    down: mpsc::Sender<Result<pb::Down, Status>>,
    end: Arc<Notify>,
    stop: watch::Receiver<bool>,
    began: Instant,
    machine: ServerStream,
    /// What the node is given, once it has been let in.
    tables: Option<Tables>,
    /// A frame of interest that is sent next.
    interest: Option<InterestFrame>,
    told: Option<NodeStatus>,
    /// Whether the transport has no room.
    is_full: bool,
}

/// What a stream waits for.
enum Wake {
    Received(Result<Option<pb::Up>, Status>),
    Room,
    Published(Arc<Snapshot>),
    Interest(InterestFrame),
    Timeout,
    Ended(&'static str),
}

impl StreamTask {
    pub(super) fn new(
        push: &Push,
        node: NodeId,
        remote: Option<SocketAddr>,
        up: Streaming<pb::Up>,
        down: mpsc::Sender<Result<pb::Down, Status>>,
    ) -> Self {
        let (id, end) = push.streams.opened(node);
        let PushSettings { limits, timing, .. } = push.settings;
        // Nonces of different streams differ, so that a log tells them apart.
        let first = Nonce(id.0 << 32 | 1);
        Self {
            id,
            node,
            remote,
            settings: push.settings,
            streams: Arc::clone(&push.streams),
            events: push.events.clone(),
            up,
            down,
            end,
            stop: push.streams.stop.subscribe(),
            began: Instant::now(),
            machine: ServerStream::new(Arc::default(), limits, timing, first, Duration::ZERO),
            tables: None,
            interest: None,
            told: None,
            is_full: false,
        }
    }

    /// Serves the stream until it is over.
    pub(super) async fn run(mut self) {
        let status = match self.serve().await {
            Ok(()) => Status::ok("the node has ended the stream"),
            Err(status) => status,
        };
        self.streams.closed(self.node, self.id);
        let reason = status.message().to_owned();
        debug!(node = %self.node, stream = self.id.0, reason, "a node's stream is over");
        // A node that does not read learns of it by the connection's end.
        let _ = self.down.try_send(Err(status));
        if self.tables.is_some() {
            let gone = Event::Gone { stream: self.id, node: self.node, reason };
            let _ = self.events.send(gone).await;
        }
    }

    async fn serve(&mut self) -> Result<(), Status> {
        loop {
            self.transmit();
            if let Some(reason) = self.machine.closed() {
                return Err(closed(reason));
            }
            match self.wait().await {
                Wake::Received(Ok(Some(message))) => self.on_message(message).await?,
                Wake::Received(Ok(None)) => return Ok(()),
                Wake::Received(Err(status)) => return Err(status),
                Wake::Room => self.is_full = false,
                Wake::Published(snapshot) => {
                    self.machine.publish(snapshot);
                    self.tell_status().await?;
                }
                Wake::Interest(frame) => self.interest = Some(frame),
                Wake::Timeout => self.on_timeout()?,
                Wake::Ended(why) => return Err(Status::unavailable(why)),
            }
        }
    }

    /// Sends while there is room.
    fn transmit(&mut self) {
        let now = self.now();
        while !self.is_full {
            let Ok(room) = self.down.try_reserve() else {
                self.is_full = true;
                return;
            };
            let interest = self.interest.take().map(FromControl::Interest);
            let Some(frame) = interest.or_else(|| self.machine.poll_transmit(now).map(FromControl::Frame)) else {
                return;
            };
            room.send(Ok((&frame).into()));
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadline = self.began + self.machine.poll_timeout().unwrap_or_default();
        let deadline = if self.tables.is_some() { deadline } else { deadline.min(self.greeting_ends()) };
        let wants_interest = self.interest.is_none();
        tokio::select! {
            received = self.up.message() => Wake::Received(received),
            room = self.down.reserve(), if self.is_full => match room {
                Ok(_) => Wake::Room,
                Err(_) => Wake::Ended("the connection is closed"),
            },
            wake = given(&mut self.tables, wants_interest) => wake,
            () = sleep_until(deadline) => Wake::Timeout,
            () = self.end.notified() => Wake::Ended("this stream was ended in favour of another"),
            _ = self.stop.wait_for(|stop| *stop) => Wake::Ended("this replica of control stops"),
        }
    }

    fn on_timeout(&mut self) -> Result<(), Status> {
        if self.tables.is_none() && Instant::now() >= self.greeting_ends() {
            return Err(Status::deadline_exceeded("the node did not say who it is"));
        }
        self.machine.handle_timeout(self.now());
        Ok(())
    }

    async fn on_message(&mut self, message: pb::Up) -> Result<(), Status> {
        let sent = FromNode::try_from(message).map_err(|error| {
            warn!(node = %self.node, %error, "a node sends what cannot be read");
            Status::invalid_argument(error.to_string())
        })?;
        match sent {
            FromNode::Frame(frame) => self.on_frame(frame).await,
            FromNode::Report(Report::Registration(registration)) if self.tables.is_none() => {
                self.on_registration(registration).await
            }
            FromNode::Report(_) if self.tables.is_none() => {
                Err(Status::failed_precondition("a report before the registration"))
            }
            FromNode::Report(report) => self.tell(Event::Report { stream: self.id, node: self.node, report }).await,
        }
    }

    async fn on_frame(&mut self, frame: Up) -> Result<(), Status> {
        if let Up::Hello { node, .. } = &frame
            && *node != self.node
        {
            warn!(node = %self.node, says = %node, "a node says that it is another than its certificate says");
            return Err(Status::permission_denied(format!("the certificate is that of node {}", self.node)));
        }
        self.machine.handle(frame, self.now());
        self.tell_status().await
    }

    /// Asks whether the node is let in, and what it is given.
    async fn on_registration(&mut self, registration: Registration) -> Result<(), Status> {
        if self.machine.node().is_none() {
            return Err(Status::failed_precondition("a registration before Hello"));
        }
        let (reply, answer) = oneshot::channel();
        let status = self.status();
        self.told = Some(status.clone());
        let (stream, node, remote) = (self.id, self.node, self.remote);
        self.tell(Event::Connected { stream, node, remote, registration, status, reply }).await?;
        let answer = timeout(self.settings.greeting_max, answer).await;
        let Ok(Ok(answer)) = answer else { return Err(Status::unavailable("control does not answer")) };
        let mut tables = answer.map_err(Status::from)?;
        info!(%node, stream = stream.0, "a node is connected");
        self.machine.publish(Arc::clone(&tables.snapshots.borrow_and_update()));
        self.tables = Some(tables);
        Ok(())
    }

    async fn tell_status(&mut self) -> Result<(), Status> {
        let status = self.status();
        if self.tables.is_none() || self.told.as_ref() == Some(&status) {
            return Ok(());
        }
        self.told = Some(status.clone());
        self.tell(Event::Status { stream: self.id, node: self.node, status }).await
    }

    async fn tell(&self, event: Event) -> Result<(), Status> {
        self.events.send(event).await.map_err(|_| Status::unavailable("this replica of control stops"))
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            types: self.machine.status().clone(),
            behind: self.machine.behind(),
            is_current: self.machine.is_current(),
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn greeting_ends(&self) -> Instant {
        self.began + self.settings.greeting_max
    }
}

/// What comes from whoever decides. Never, before the node was let in.
async fn given(tables: &mut Option<Tables>, wants_interest: bool) -> Wake {
    const LET_GO: Wake = Wake::Ended("control lets this stream go");

    let Some(Tables { snapshots, interest }) = tables else { return std::future::pending().await };
    tokio::select! {
        changed = snapshots.changed() => match changed {
            Ok(()) => Wake::Published(Arc::clone(&snapshots.borrow_and_update())),
            Err(_) => LET_GO,
        },
        frame = interest.recv(), if wants_interest => frame.map_or(LET_GO, Wake::Interest),
    }
}

fn closed(reason: CloseReason) -> Status {
    match reason {
        CloseReason::Protocol(_) => Status::failed_precondition(reason.to_string()),
        CloseReason::Silence | CloseReason::Unanswered => Status::deadline_exceeded(reason.to_string()),
        CloseReason::Replaced => Status::aborted(reason.to_string()),
    }
}
