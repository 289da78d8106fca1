//! The kinds of fault a run can have: how each is dealt, and where it can be.

use std::time::Duration;

use http::StatusCode;
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::Profile;
use crate::consul::chaos::Trouble;
use crate::plan::{COMMANDS, Fault, FaultKind, Lasting, Shift, Span, Target, Targets};
use crate::spec::Spec;

/// A kind of fault, or a shape of several machines' fault.
pub(super) struct Feature {
    pub(super) name: &'static str,
    /// Whether it may cost an instance its disk.
    pub(super) costs: bool,
    /// Whether a cluster of this spec can have it.
    pub(super) fits: fn(&Spec) -> bool,
    /// Draws one; none when no more of them can be survived.
    pub(super) deal: fn(&mut Hand<'_>, &mut ChaCha8Rng) -> Option<Fault>,
}

/// What is left to be dealt in one run.
pub(super) struct Hand<'a> {
    spec: &'a Spec,
    profile: Profile,
    pub(super) whole: Duration,
    pub(super) window: Duration,
    /// How many instances may still lose their disks.
    disks: usize,
    /// Whether a server of Consul may still lose its own.
    consul_disk: bool,
    upgrade: Option<FaultKind>,
    /// Whether the scheduler has been told of another number: a second one would count from that.
    scaled: bool,
}

type Dice = ChaCha8Rng;

fn always(_: &Spec) -> bool {
    true
}

fn several(spec: &Spec) -> bool {
    spec.cluster.instances > 1
}

fn many(spec: &Spec) -> bool {
    spec.cluster.instances > 2
}

fn consul_cluster(spec: &Spec) -> bool {
    spec.consul.servers > 2
}

fn consul_nodes(spec: &Spec) -> bool {
    spec.consul.servers + spec.consul.agents > 1
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl<'a> Hand<'a> {
    pub(super) fn new(spec: &'a Spec, profile: Profile, whole: Duration, window: Duration) -> Self {
        let disks = match profile.unsurvivable {
            true => usize::MAX,
            false => spec.cluster.instances.saturating_sub(1),
        };
        Self { spec, profile, whole, window, disks, consul_disk: true, upgrade: None, scaled: false }
    }

    /// Takes so many disks of those that may be lost; none when there are not so many.
    fn spend(&mut self, disks: usize) -> Option<()> {
        self.disks = self.disks.checked_sub(disks)?;
        Some(())
    }

    /// How long a fault lasts: a moment, about a TTL, or several.
    fn length(&self, dice: &mut Dice) -> Duration {
        let ttl = u64::try_from(self.spec.cluster.session_ttl.as_millis()).unwrap_or(u64::MAX / 8);
        let range = [50..=5_000, ttl / 2..=2 * ttl, 2 * ttl..=5 * ttl];
        let range = range.choose(dice).cloned().unwrap_or(1..=1);
        Duration::from_millis(dice.random_range(range))
    }

    fn lasting(&self, kind: FaultKind, target: impl Into<Targets>, dice: &mut Dice) -> Option<Fault> {
        let length = self.length(dice);
        Some(Fault::new(Span::exactly(Duration::ZERO), kind, target, Lasting::For(length)))
    }

    /// The upgrade that was dealt, which comes when everything else is over.
    pub(super) fn upgrade(&mut self, after: Duration, bound: Duration) -> Option<Fault> {
        let kind = self.upgrade.take()?;
        let instances = u32::try_from(self.spec.cluster.instances).unwrap_or(1);
        let (kind, lasting) = match kind {
            FaultKind::Roll { .. } => (FaultKind::Roll { every: bound }, Lasting::Moment),
            other => (other, Lasting::For(2 * bound * instances)),
        };
        let mut fault = Fault::new(Span::exactly(after), kind, Target::Instances, lasting);
        fault.id = Some("upgrade".to_owned());
        Some(fault)
    }
}

fn moment(kind: FaultKind, target: impl Into<Targets>) -> Option<Fault> {
    Some(Fault::new(Span::exactly(Duration::ZERO), kind, target, Lasting::Moment))
}

fn one_of(targets: &[Target], dice: &mut Dice) -> Target {
    targets.choose(dice).cloned().unwrap_or(Target::Leader)
}

/// One instance: the leader is worth most.
fn instance(dice: &mut Dice) -> Target {
    use Target::{Anyone, Leader, MostAdvancedReplica, Newest, Oldest, Primary, Replica};
    one_of(&[Leader, Leader, Leader, Primary, Replica, MostAdvancedReplica, Newest, Oldest, Anyone], dice)
}

/// One machine or a group of them.
fn machine(spec: &Spec, dice: &mut Dice) -> Target {
    let consul = if consul_cluster(spec) { Target::ConsulLeader } else { Target::Consul };
    let others = [consul, Target::ConsulFollower, Target::Store, Target::Clients, Target::Replicas];
    match dice.random_bool(0.5) {
        true => instance(dice),
        false => match one_of(&others, dice) {
            Target::ConsulFollower if !consul_cluster(spec) => Target::Consul,
            other => other,
        },
    }
}

/// Somebody else than `target`.
fn peer(spec: &Spec, target: &Target, dice: &mut Dice) -> Targets {
    let peers = [Target::Consul, Target::Consul, Target::Instances, Target::Store, Target::Everything];
    let peer = one_of(&peers, dice);
    match peer == *target || *target == Target::Consul && !consul_nodes(spec) && peer == Target::Consul {
        true => Target::Everything.into(),
        false => peer.into(),
    }
}

/// A fault between a machine and others.
fn between(
    hand: &mut Hand<'_>,
    dice: &mut Dice,
    kind: impl FnOnce(Targets, &mut Dice) -> FaultKind,
) -> Option<Fault> {
    let target = machine(hand.spec, dice);
    let peer = peer(hand.spec, &target, dice);
    let kind = kind(peer, dice);
    hand.lasting(kind, target, dice)
}

fn millis(dice: &mut Dice, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(dice.random_range(range))
}

/// A share in whole percents: what a person can read.
fn percent(dice: &mut Dice, range: std::ops::RangeInclusive<u32>) -> f64 {
    f64::from(dice.random_range(range)) / 100.0
}

/// Consul's nodes, one or all.
fn consul(spec: &Spec, dice: &mut Dice) -> Target {
    match consul_cluster(spec) {
        true => one_of(&[Target::Consul, Target::ConsulLeader, Target::ConsulFollower], dice),
        false => Target::Consul,
    }
}

fn answering(spec: &Spec, dice: &mut Dice) -> Target {
    if dice.random_bool(0.3) { Target::Store } else { consul(spec, dice) }
}

fn command(dice: &mut Dice) -> String {
    COMMANDS.choose(dice).copied().unwrap_or_default().to_owned()
}

/// Two halves of the instances with one between them that reaches both.
fn bridge(hand: &mut Hand<'_>, dice: &mut Dice) -> Option<Fault> {
    let mut names: Vec<_> =
        (1..=hand.spec.cluster.instances).map(|number| Target::Host(format!("mysql-{number}"))).collect();
    names.shuffle(dice);
    names.pop();
    let right = names.split_off(names.len() / 2);
    let kind = FaultKind::Cut { peer: Targets::new(right).ok()? };
    hand.lasting(kind, Targets::new(names).ok()?, dice)
}

/// Declares a feature in a line.
const fn feature(
    name: &'static str,
    costs: bool,
    fits: fn(&Spec) -> bool,
    deal: fn(&mut Hand<'_>, &mut ChaCha8Rng) -> Option<Fault>,
) -> Feature {
    Feature { name, costs, fits, deal }
}

/// Every kind of fault there is.
pub(super) const FEATURES: [Feature; 49] = [
    // What ends containers.
    feature("kill", true, several, |hand, dice| {
        hand.spend(1)?;
        moment(FaultKind::Kill, instance(dice))
    }),
    feature("power-loss", true, several, |hand, dice| {
        hand.spend(1)?;
        moment(FaultKind::PowerLoss, instance(dice))
    }),
    feature("stop", true, several, |hand, dice| {
        hand.spend(1)?;
        moment(FaultKind::Stop, instance(dice))
    }),
    feature("replace", true, several, |hand, dice| {
        let wipe = dice.random_bool(0.5);
        hand.spend(usize::from(wipe))?;
        moment(FaultKind::Replace { wipe }, instance(dice))
    }),
    feature("scale", true, always, |hand, dice| {
        // One that is left of several acknowledges nothing: that would be the only copy.
        let least = hand.spec.cluster.instances.min(2);
        let (instances, first) = (dice.random_range(least..=7), instance(dice));
        if std::mem::replace(&mut hand.scaled, true) {
            return None;
        }
        hand.spend(hand.spec.cluster.instances.saturating_sub(instances))?;
        moment(FaultKind::Scale { instances }, first)
    }),
    feature("upgrade", true, several, |hand, dice| {
        hand.upgrade = Some(match dice.random_bool(0.5) {
            true => FaultKind::Roll { every: Duration::ZERO },
            false => FaultKind::Attrition,
        });
        None
    }),
    // What ends them for a while, and leaves them what is on their disks.
    feature("restart", false, always, |hand, dice| {
        let wipe = dice.random_bool(0.2) && hand.spend(1).is_some();
        hand.lasting(FaultKind::Restart { wipe }, instance(dice), dice)
    }),
    feature("crash", false, always, |hand, dice| hand.lasting(FaultKind::Kill, instance(dice), dice)),
    feature("black-out", false, always, |hand, dice| {
        hand.lasting(FaultKind::PowerLoss, instance(dice), dice)
    }),
    feature("crash-of-all", false, always, |hand, dice| {
        hand.lasting(FaultKind::Kill, Target::Instances, dice)
    }),
    // Machines that go on, but not as they should.
    feature("pause", false, always, |hand, dice| {
        let target = machine(hand.spec, dice);
        hand.lasting(FaultKind::Pause, target, dice)
    }),
    feature("clock-rate", false, always, |hand, dice| {
        let rate = percent(dice, 90..=110);
        let target = machine(hand.spec, dice);
        hand.lasting(FaultKind::ClockRate { rate }, target, dice)
    }),
    feature("clock-step", false, always, |hand, dice| {
        let step = Shift { by: millis(dice, 1..=3_600_000), back: dice.random_bool(0.5) };
        let target = machine(hand.spec, dice);
        hand.lasting(FaultKind::ClockStep { step }, target, dice)
    }),
    // A database that is not read-only in time is ended, and its container with it.
    feature("slow-command", true, several, |hand, dice| {
        hand.spend(1)?;
        let kind = FaultKind::SlowCommand { command: command(dice), delay: millis(dice, 100..=10_000) };
        hand.lasting(kind, instance(dice), dice)
    }),
    feature("fail-command", true, several, |hand, dice| {
        hand.spend(1)?;
        hand.lasting(FaultKind::FailCommand { command: command(dice) }, instance(dice), dice)
    }),
    feature("hang-command", true, several, |hand, dice| {
        hand.spend(1)?;
        hand.lasting(FaultKind::HangCommand { command: command(dice) }, instance(dice), dice)
    }),
    feature("kill-command", true, several, |hand, dice| {
        hand.spend(1)?;
        moment(FaultKind::KillCommand { command: command(dice) }, instance(dice))
    }),
    feature("slow-disk", true, several, |hand, dice| {
        hand.spend(1)?;
        let kind = FaultKind::SlowDisk { delay: millis(dice, 1..=1_000) };
        hand.lasting(kind, instance(dice), dice)
    }),
    feature("full-disk", true, several, |hand, dice| {
        hand.spend(1)?;
        hand.lasting(FaultKind::FullDisk, instance(dice), dice)
    }),
    feature("fail-disk", true, several, |hand, dice| {
        hand.spend(1)?;
        hand.lasting(FaultKind::FailDisk, instance(dice), dice)
    }),
    // Shapes.
    feature("isolate-leader", false, always, |hand, dice| {
        hand.lasting(FaultKind::Cut { peer: Target::Everything.into() }, Target::Leader, dice)
    }),
    feature("leader-without-consul", false, always, |hand, dice| {
        hand.lasting(FaultKind::Cut { peer: Target::Consul.into() }, Target::Leader, dice)
    }),
    feature("leader-without-replicas", false, several, |hand, dice| {
        hand.lasting(FaultKind::Cut { peer: Target::Replicas.into() }, Target::Leader, dice)
    }),
    feature("isolate-one", false, several, |hand, dice| {
        hand.lasting(FaultKind::Cut { peer: Target::Everything.into() }, Target::Anyone, dice)
    }),
    feature("bridge", false, many, bridge),
    feature("swizzle", false, always, |hand, dice| {
        let group = one_of(&[Target::Everything, Target::Instances, Target::Consul], dice);
        hand.lasting(FaultKind::Swizzle { peer: Target::Everything.into() }, group, dice)
    }),
    feature("isolate-consul-leader", false, consul_cluster, |hand, dice| {
        hand.lasting(FaultKind::Cut { peer: Target::Consul.into() }, Target::ConsulLeader, dice)
    }),
    // Links.
    feature("cut", false, always, |hand, dice| between(hand, dice, |peer, _| FaultKind::Cut { peer })),
    feature("cut-one-way", false, always, |hand, dice| {
        between(hand, dice, |peer, _| FaultKind::CutOneWay { peer })
    }),
    feature("hold", false, always, |hand, dice| between(hand, dice, |peer, _| FaultKind::Hold { peer })),
    feature("latency", false, always, |hand, dice| {
        between(hand, dice, |peer, dice| FaultKind::Latency { peer, delay: millis(dice, 10..=3_000) })
    }),
    feature("jitter", false, always, |hand, dice| {
        between(hand, dice, |peer, dice| FaultKind::Jitter { peer, delay: millis(dice, 10..=3_000) })
    }),
    feature("loss", false, always, |hand, dice| {
        between(hand, dice, |peer, dice| FaultKind::Loss { peer, rate: percent(dice, 1..=50) })
    }),
    feature("duplicate", false, consul_cluster, |hand, dice| {
        let kind = FaultKind::Duplicate { peer: Target::Consul.into(), rate: percent(dice, 10..=100) };
        hand.lasting(kind, Target::ConsulLeader, dice)
    }),
    // Consul and the store.
    feature("kill-server", false, always, |hand, dice| {
        let how = [FaultKind::Kill, FaultKind::PowerLoss].choose(dice).cloned()?;
        let target = match dice.random_bool(0.2) {
            true => one_of(&[Target::Store, Target::Clients], dice),
            false => consul(hand.spec, dice),
        };
        hand.lasting(how, target, dice)
    }),
    feature("stop-server", false, consul_cluster, |hand, dice| {
        hand.lasting(FaultKind::Stop, one_of(&[Target::ConsulLeader, Target::ConsulFollower], dice), dice)
    }),
    feature("lose-disk", false, consul_cluster, |hand, dice| {
        let again = std::mem::replace(&mut hand.consul_disk, hand.profile.unsurvivable);
        let target = one_of(&[Target::ConsulLeader, Target::ConsulFollower], dice);
        again.then(|| hand.lasting(FaultKind::LoseDisk, target, dice)).flatten()
    }),
    feature("catalog-lag", false, always, |hand, dice| {
        let kind = FaultKind::CatalogLag { delay: millis(dice, 100..=120_000) };
        hand.lasting(
            kind,
            one_of(&[Target::Instances, Target::Clients, Target::Leader, Target::Replicas], dice),
            dice,
        )
    }),
    feature("stale-reads", false, always, |hand, dice| {
        let target = consul(hand.spec, dice);
        let stale = Trouble::Stale { delay: millis(dice, 100..=60_000) };
        let trouble = [Trouble::StaleReads, stale].choose(dice).copied()?;
        hand.lasting(FaultKind::Trouble(trouble), target, dice)
    }),
    feature("stall-anti-entropy", false, always, |hand, dice| {
        let target = consul(hand.spec, dice);
        hand.lasting(FaultKind::StallAntiEntropy, target, dice)
    }),
    feature("maintenance", false, always, |hand, dice| {
        let target = consul(hand.spec, dice);
        hand.lasting(FaultKind::Maintenance, target, dice)
    }),
    feature("errors", false, always, |hand, dice| {
        let statuses = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::TOO_MANY_REQUESTS];
        let status = statuses.choose(dice).copied()?;
        let trouble = Trouble::Errors { status, share: percent(dice, 10..=100) };
        let target = answering(hand.spec, dice);
        hand.lasting(FaultKind::Trouble(trouble), target, dice)
    }),
    feature("leaderless", false, always, |hand, dice| {
        hand.lasting(FaultKind::Trouble(Trouble::Leaderless), Target::Consul, dice)
    }),
    feature("refuse-or-hang", false, always, |hand, dice| {
        let trouble = [Trouble::Refuse, Trouble::Hang].choose(dice).copied()?;
        let target = answering(hand.spec, dice);
        hand.lasting(FaultKind::Trouble(trouble), target, dice)
    }),
    feature("slow-answers", false, always, |hand, dice| {
        let latency = Span { from: Duration::ZERO, to: millis(dice, 100..=10_000) };
        let target = answering(hand.spec, dice);
        hand.lasting(FaultKind::Trouble(Trouble::Slow { latency }), target, dice)
    }),
    feature("spurious-wakes", false, always, |hand, dice| {
        let trouble = Trouble::SpuriousWakes { share: percent(dice, 1..=100) };
        let target = consul(hand.spec, dice);
        hand.lasting(FaultKind::Trouble(trouble), target, dice)
    }),
    feature("rebalance", false, always, |hand, dice| {
        let target = consul(hand.spec, dice);
        moment(FaultKind::Rebalance, target)
    }),
    feature("index-reset", false, always, |hand, dice| {
        let target = consul(hand.spec, dice);
        moment(FaultKind::Trouble(Trouble::IndexReset), target)
    }),
    feature("store-loses", false, always, |hand, dice| {
        let stale = FaultKind::Trouble(Trouble::Stale { delay: s(dice.random_range(1..=300)) });
        let kind = [FaultKind::TruncateUploads, stale].choose(dice).cloned()?;
        hand.lasting(kind, Target::Store, dice)
    }),
];
