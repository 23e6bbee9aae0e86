#!/usr/bin/env python3
"""A second implementation of the sequential judge, written from docs/statistics.md, in plain Python.

python3 reference.py          writes sequences.json.gz: sequences of looks, and what the judge has to say after each
python3 reference.py FILE     judges a file of `serin judge --judge sequential` and prints the answers

It is slow, and it is not to be clever: dense matrices, one hypothesis at a time. Go's tests hold its answers to 1e-9.
"""
import gzip, json, math, random, sys

INF = math.inf
TAU = [45.0, 200.0, 900.0, INF, INF, 60.0, 240.0]
RATIOS = [1.2, 1.4, 1.75, 2.5, 4.0, 8.0, 20.0, 100.0]
WIDTH = [.05, .08, .12, .2, .25, .4, .5, 1.0]
PRIOR = [.04, .14, .18, .20, .16, .12, .08, .08]
GOOD = [(0.0, 0.0, .94), (math.log(.85), .08, .03), (math.log(.5), .35, .02), (math.log(.1), 1.0, .01)]
FEW, MOST_FEW = .05, .55
CHANGES = .1  # of the size of an incident, from look to look
STRAIN = dict(begins=.25 / 3600, lasts=300.0, size=.3)
CALMLY, CALM = .2, [2 * x * .05 ** 2 for x in (.3, .6, .1)]
PASS = [math.log(.85), math.log(.6), math.log(.3)]
FLOOR = [0.0, math.log(.6), math.log(.25), math.log(.06), math.log(.005)]
LENGTHS = [60.0, 300.0, 900.0]
Z = [0, 0.723551018752837573322639864579, 1.46855328921666793166701573925, 2.26658058453184311180209693284, 3.19099320178152760723004779538]
W = [0.720235215606050957124334723389, 0.432651559002555750199812112956, 0.0884745273943765732879751147476, 0.00494362427553694721722456597763, 0.0000396069772632643819045862946425]


def log(x):
    return math.log(x) if x > 0 else -INF


def logadd(*xs):
    m = max(xs)
    return m if m == -INF else m + math.log(sum(math.exp(x - m) for x in xs))


class Binomial:
    """x of b bad events are the canary's; the offset is the log ratio of exposures."""

    def __init__(self, x, b, offset):
        self.x, self.b, self.offset = x, b, offset

    def log(self, e):
        return self.x * e - self.b * (max(e, 0) + math.log1p(math.exp(-abs(e))))

    def slope(self, e):
        t = 1 / (1 + math.exp(-e)) if e > -700 else 0.0
        return self.x - self.b * t, self.b * t * (1 - t)


class Poisson:
    """x events where b are expected; sign -1 where fewer are worse."""

    def __init__(self, x, b, sign=1):
        self.x, self.b, self.sign, self.offset = x, b, sign, 0.0

    def log(self, e):
        return self.x * self.sign * e - self.b * math.exp(self.sign * e)

    def slope(self, e):
        l = self.b * math.exp(self.sign * e)
        return self.sign * (self.x - l), l


class Normal:
    def __init__(self, z, variance):
        self.z, self.variance, self.offset = z, variance, 0.0


def predict(o, rho, mu, s):
    """log probability of the datum, and the mean and variance of u after it."""
    if isinstance(o, Normal):
        v = s + o.variance
        d = o.z - rho - mu
        return -d * d / (2 * v) - math.log(v) / 2, mu + s / v * d, s * o.variance / v
    off, u = o.offset + rho, mu
    for _ in range(200):
        g, h = o.slope(off + u)
        step = (g - (u - mu) / s) / (h + 1 / s)
        step = max(-1.5, min(1.5, step))
        u += step
        if abs(step) < 1e-10:
            break
    h = o.slope(off + u)[1]
    width = math.sqrt(2 / (h + 1 / s))
    f = lambda v: o.log(off + v) - (v - mu) ** 2 / (2 * s)
    top = f(u)
    pts = [(width * z * sg, w) for z, w in zip(Z, W) for sg in ((1, -1) if z else (1,))]
    ws = [w * math.exp((d / width) ** 2 + f(u + d) - top) for d, w in pts]
    tot = sum(ws)
    m = sum(w * d for w, (d, _) in zip(ws, pts)) / tot
    v = sum(w * d * d for w, (d, _) in zip(ws, pts)) / tot - m * m
    return top + math.log(tot * width / math.sqrt(2 * math.pi * s)), u + m, max(v, 0.0)


class Belief:
    def __init__(self, var):
        d = len(var)
        self.m = [0.0] * d
        self.P = [[var[i] if i == j else 0.0 for j in range(d)] for i in range(d)]

    def copy(self, grow=0.0):
        b = Belief([0.0] * len(self.m))
        b.m, b.P = self.m[:], [r[:] for r in self.P]
        b.P[3][3] += grow
        return b

    def pass_(self, phi, q):
        d = len(self.m)
        self.m = [p * x for p, x in zip(phi, self.m)]
        self.P = [[self.P[i][j] * phi[i] * phi[j] + (q[i] if i == j else 0.0) for j in range(d)] for i in range(d)]

    def sum(self):
        with_ = [sum(r) for r in self.P]
        return sum(self.m), max(sum(with_), 1e-9), with_

    def learn(self, with_, s, shift, less):
        k = [w / s for w in with_]
        self.m = [x + kk * shift for x, kk in zip(self.m, k)]
        self.P = [[self.P[i][j] - less * k[i] * k[j] for j in range(len(k))] for i in range(len(k))]

    def blend(self, f, o):
        if f <= 0:
            return
        gap = [b - a for a, b in zip(self.m, o.m)]
        d = len(gap)
        self.P = [[self.P[i][j] + f * (o.P[i][j] - self.P[i][j]) + f * (1 - f) * gap[i] * gap[j] for j in range(d)] for i in range(d)]
        self.m = [a + f * g for a, g in zip(self.m, gap)]


class Row:
    def __init__(self, belief, rho):
        self.b, self.rho, self.ill = belief, rho, 0.0

    def hold(self, o, rho=None):
        mu, s, w = self.b.sum()
        p, after, spread = predict(o, self.rho if rho is None else rho, mu, s)
        return p, mu, s, w, after, spread

    def learn(self, h, sure):
        p, mu, s, w, after, spread = h
        self.b.learn(w, s, sure * (after - mu), sure * (s - spread))


def trigamma(x):
    s = 0.0
    while x < 6:
        s, x = s + 1 / x ** 2, x + 1
    return s + 1 / x + 1 / (2 * x ** 2) + 1 / (6 * x ** 3) - 1 / (30 * x ** 5) + 1 / (42 * x ** 7)


class Lumps:
    """The world in which what wanders are lumps of events: the log ratio of two gamma variables, on a grid."""

    def __init__(self, exposure):
        self.exposure, self.exposed, self.step = exposure, None, 0.0
        self.p, self.ill, self.whole = [None, None], [0.0, 0.0], [0.0, 0.0]

    def pass_(self, rest, dt, turned, exposed):
        if exposed and min(exposed) > 0:
            self.exposed = [n / dt for n in exposed]
        if not self.exposed:
            return
        total = sum(rest[:3]) / 2
        lasts = sum(v / 2 * t for v, t in zip(rest[:3], TAU)) / total
        a, b = [max(1e-3, min(n / (self.exposure * total), 1e6)) for n in self.exposed]
        begins = self.step == 0 or turned
        if begins:
            self.step = max(.02, min(8 * math.sqrt(trigamma(a) + trigamma(b)) / 70, .15))
        self.v = [(i - 40) * self.step for i in range(71)]
        dens = [a * v - (a + b) * math.log1p(a / b * math.exp(v)) for v in self.v]
        if begins:
            p = [math.exp(d - max(dens)) for d in dens]
            self.p = [[x / sum(p) for x in p] for _ in range(2)]
            return
        up, down = [], []
        for i in range(70):
            v = (self.v[i] + self.v[i + 1]) / 2
            spread = (math.exp(-b / (a + b) * v) / a + math.exp(a / (a + b) * v) / b) * dt / lasts / self.step ** 2
            slope = max(-30, min((dens[i + 1] - dens[i]) / 2, 30))
            up.append(spread * math.exp(slope))
            down.append(spread * math.exp(-slope))
        self.p = [self.move(p, up, down) for p in self.p]

    @staticmethod
    def move(p, up, down):
        """Solves p' = p + what comes in p' from the neighbours - what goes to them, from below upwards."""
        n, keep, carry = len(p), [1.0], [p[0]]
        for i in range(n - 1):  # what stays of a point and those below it, where a share goes up and comes back
            keep.append(1 + down[i] * keep[i] / (keep[i] + up[i]))
            carry.append(p[i + 1] + up[i] * carry[i] / (keep[i] + up[i]))
        out = [0.0] * n
        out[-1] = carry[-1] / keep[-1]
        for i in range(n - 2, -1, -1):
            out[i] = (carry[i] + down[i] * out[i + 1]) / (keep[i] + up[i])
        return out

    def look(self, o, margin, incident):
        for k, rho in enumerate((0.0, math.log(margin))):
            l = [o.log(o.offset + rho + v) for v in self.v]
            w = [p * math.exp(x - max(l)) for p, x in zip(self.p[k], l)]
            tot = sum(w)
            ill, s = incident(self.ill[k], max(max(l) + log(tot), -1e6))
            self.whole[k] += s
            self.ill[k] = ill
            if tot > 0:
                self.p[k] = [p + (1 - ill) * (x / tot - p) for p, x in zip(self.p[k], w)]
            if k == 0:
                null = s
        return null


class Filter:
    """The evidence of one comparison."""

    def __init__(self, wander, arm, cold, clusters, incident, goal, lumps=0.0, users=0.0, calm=False, few=0.0, chill=0.0):
        self.rest = list(wander) + [arm * arm] + ([0.0] * 3 if cold else [0.0] if users else [])
        self.users, self.weight = users, 0.0
        self.lumps = Lumps(lumps) if lumps > 0 and max(wander) > 0 else None
        self.arm, self.clusters, self.incident, self.goal = arm, clusters, incident, goal
        new = lambda grow, rho: Row(Belief(self.rest).copy(grow), rho)
        self.good = [new(w * w, r) for r, w, _ in GOOD]
        self.prior = [.44, .03, .02, .01, .5] if self.lumps else [p for _, _, p in GOOD] + [0.0]
        self.prior = [p * (1 - CALMLY) for p in self.prior] + [CALMLY] if calm else self.prior + [0.0]
        self.prior = [p * (1 - few) for p in self.prior] + [few]
        self.prior = [p * (1 - chill) for p in self.prior] + [chill]
        self.worth = self.prior[:]
        self.chill, self.chill_whole = chill, [0.0] * 3
        self.chill_rows = [Row(Belief(self.rest), r) for r in (0.0, PASS[0], 0.0)] if chill else []
        self.few, self.few_weight, self.few_whole = few, 0.0, [0.0, 0.0]
        wide = self.rest + [0.0] * (5 - len(self.rest))
        self.few_rows = [Row(Belief(wide), 0.0) for _ in range(2)] if few else []
        self.calm = None
        if calm:
            new = lambda grow, rho: Row(Belief(CALM + self.rest[3:]).copy(grow), rho)
            self.calm = dict(null=new(0, 0.0), alts=[new(0, math.log(r)) for r in RATIOS], A=[-INF] * 8, better=new(0, PASS[0]), margin=new(0, 0.0), ill=new(2.5 ** 2, 0.0), whole=[0.0] * 3)
        new = lambda grow, rho: Row(Belief(self.rest).copy(grow), rho)
        self.alts = [new(w * w, math.log(r)) for r, w in zip(RATIOS, WIDTH)]
        self.passes = [new(0, r) for r in PASS]
        self.margin, self.open = new(0, 0.0), new(2.5 ** 2, 0.0)
        self.illness = Belief(self.rest).copy(2.5 ** 2)
        self.strained, self.strain = Belief(self.rest), 0.0
        self.A, self.E = [-INF] * 8, [-INF] * 8
        self.X, self.xill = -INF, 0.0
        self.spent = self.turns = self.at = 0.0
        self.begun = False
        self.whole = [0.0] * 5
        self.floor = [new(0, r) for r in FLOOR]
        self.floorlog = [0.0] * 5

    def beliefs(self):
        return [r.b for r in self.good + self.alts + self.passes + [self.margin]] + [self.illness, self.strained]

    def calm_rows(self):
        c = self.calm
        return [c["null"]] + c["alts"] + [c["better"], c["margin"]] if c else []

    def pass_(self, phi, q, starts):
        for b in self.beliefs():
            b.pass_(phi, q)
        wide = [1.5 ** 2 / 2 * starts * starts if i >= 5 else v for i, v in enumerate(q)]
        for r in [self.open] + self.chill_rows:
            r.b.pass_(phi, wide)
        q = [v * (1 - p * p) for v, p in zip(CALM, phi)] + q[3:]
        for r in self.calm_rows() + ([self.calm["ill"]] if self.calm else []):
            r.b.pass_(phi, q)

    def pass_few(self, phi, q, w):
        phi, q = phi + [1.0] * (5 - len(phi)), q + [0.0] * (5 - len(q))
        v = lambda w: min(FEW / (w * (1 - w)), MOST_FEW)
        w, was = max(1e-3, min(w, 1 - 1e-3)), self.few_weight
        phi[4], q[4] = 1.0, 0.0
        if w != was:
            phi[4] = min(1.0, was / w)
            q[4] = max(v(w) - (phi[4] ** 2 * v(was) if was > 0 else 0.0), 0.0)
            self.few_weight = w
        for r in self.few_rows:
            r.b.pass_(phi, q)

    def set_wander(self, wander):
        self.rest[:3] = wander

    def divide(self, w):
        """What becomes of the difference of the users with a weight: the share that stays, and the variance that comes."""
        w = max(1e-3, min(w, 1 - 1e-3))
        if self.users <= 0 or w == self.weight:
            return 1.0, 0.0
        v = lambda w: self.users / (w * (1 - w))
        stays = min(1.0, self.weight / w) if self.weight > 0 else 0.0
        come = v(w) - stays * stays * v(self.weight) if stays else v(w)
        self.weight = w
        return stays, max(come, 0.0)

    def steps(self, dt, starts, weight=None):
        phi = [math.exp(-dt / t) for t in TAU[:len(self.rest)]]
        q = [v * (1 - p * p) for v, p in zip(self.rest, phi)]
        q[3] = 0.0
        for i in range(5, len(q)):
            q[i] = (.3 if self.chill else 1.5) ** 2 / 2 * starts * starts
        if len(q) > 4 and weight is not None:
            phi[4], q[4] = self.divide(weight)
        return phi, q

    def wait(self, dt):
        if not self.begun:
            return
        phi, q = self.steps(dt, 0.0, self.weight)
        self.pass_(phi, q, 0.0)
        if self.few:
            self.pass_few(phi, q, self.few_weight)
        if self.lumps:
            self.lumps.pass_(self.rest, dt, False, None)
        self.fade(dt)
        self.at += dt

    def fade(self, dt):
        stays = math.exp(-dt / self.incident)
        for r in self.good + self.alts + self.passes + [self.margin, self.open] + self.calm_rows() + self.few_rows + self.chill_rows:
            r.ill *= stays
        self.xill *= stays
        self.strain *= math.exp(-dt / STRAIN["lasts"])
        if self.lumps:
            self.lumps.ill = [i * stays for i in self.lumps.ill]

    def mass(self, dt, turned):
        if not self.begun:
            return .5
        if turned and self.turns < 3:
            return 1 / 16
        if turned:
            k = self.turns - 2
            return 1 / 16 / (k * (k + 1))
        return .25 * (3600 / (3600 + self.at) - 3600 / (3600 + self.at + dt))

    def look(self, dt, starts, turned, margin, heavy, o, allowed, bad, weight, exposed, broken=False):
        phi, q = self.steps(dt, starts, weight)
        self.pass_(phi, q, starts)
        if self.few:
            self.pass_few(phi, q, weight)
        if self.chill and self.begun:
            self.worth = [x * (1 - self.chill * starts) for x in self.worth]
            self.worth[7] += self.chill * starts
        if self.lumps:
            self.lumps.pass_(self.rest, dt, turned, exposed)
        w = self.mass(dt, turned)
        if self.begun and turned:
            self.turns += 1
        self.spent += w
        null = self.good[0]
        worlds = [(self.alts, self.A, null, 1 - self.worth[5])]
        if self.calm:
            worlds.append((self.calm["alts"], self.calm["A"], self.calm["null"], self.worth[5]))
        for i in range(8):
            for alts, A, of, worth in worlds:
                more = log(.9 * w * worth) + math.log(PRIOR[i])
                tot = logadd(A[i], more)
                f = math.exp(more - tot)
                A[i] = tot
                alts[i].b.blend(f, of.b.copy(WIDTH[i] ** 2))
                alts[i].ill += f * (of.ill - alts[i].ill)
            self.E[i] = logadd(self.E[i], math.log(w / 8))
        more = math.log(w * .1)
        tot = logadd(self.X, more)
        self.xill += math.exp(more - tot) * (null.ill - self.xill)
        self.X = tot
        self.at += dt
        self.begun = True
        if allowed > 0:
            for i, r in enumerate(RATIOS):
                self.E[i] += (bad * math.log(r) - allowed * (r - 1)) / self.clusters
        if o is None:
            self.fade(dt)
            return
        stays = math.exp(-dt / (min(self.incident, 5.0) if heavy else self.incident))
        onset = 1 - math.exp(-dt / 3600)
        fresh = Row(null.b.copy(2.5 ** 2), 0.0)
        self.illness.P[3][3] += .1 ** 2 * dt / 10
        ill = Row(self.illness, 0.0)
        hf, hi = fresh.hold(o), ill.hold(o)

        def incident(before, plain, onset=onset, going=(hi[0], hf[0])):
            on = before * stays
            same, other = on * (1 - CHANGES), (1 - on) * onset + on * CHANGES
            inn = logadd(log(same) + going[0], log(other) + going[1])
            tot = logadd(log(1 - same - other) + plain, inn)
            return math.exp(inn - tot), tot

        on = null.ill * stays
        young = math.log((1 - on) * onset + on * CHANGES) + hf[0]
        f = math.exp(young - logadd(log(on * (1 - CHANGES)) + hi[0], young))
        over = 1 - math.exp(-dt / 36000)
        self.worth = [x + over * (p - x) for x, p in zip(self.worth, self.prior)]
        forget, apart, of = 1 - math.exp(-dt / 3600), sum(self.worth[:4]), sum(self.prior[:4])
        sums = []
        for i, r in enumerate(self.good):
            self.worth[i] += forget * (self.prior[i] / of * apart - self.worth[i])
            h = r.hold(o)
            after, tot = incident(r.ill, h[0])
            if i == 0:
                plain = tot
                self.whole[0] += tot
                xi, xt = incident(self.xill, h[0], 1 - math.exp(-dt / 200))
                if hf[4] <= 0:
                    xt = min(xt, tot)
                self.X += xt
                self.xill = xi
                tot = self.look_strain(o, dt, tot)
            sums.append(math.log(self.worth[i]) + tot)
            r.learn(h, (1 - after) * (1 - self.strain) if i == 0 else 1 - after)
            r.ill = after
        sums += [-INF, -INF, -INF, -INF]
        for k, r in enumerate(self.few_rows):
            r.rho = math.log(margin) if k else 0.0
            h = r.hold(o)
            after, tot = incident(r.ill, h[0])
            self.few_whole[k] += tot
            r.learn(h, 1 - after)
            r.ill = after
            if k == 0:
                sums[6] = log(self.worth[6]) + (plain if broken else tot)
        for k, r in enumerate(self.chill_rows):
            r.rho = math.log(margin) if k == 2 else r.rho
            h = r.hold(o)
            after, tot = incident(r.ill, h[0])
            self.chill_whole[k] += tot
            r.learn(h, 1 - after)
            r.ill = after
            if k == 0:
                sums[7] = log(self.worth[7]) + tot
        if self.lumps:
            lumped = self.lumps.look(o, margin, incident)
            sums[4] = math.log(self.worth[4]) + lumped
        if self.calm:
            self.calm["margin"].rho = math.log(margin)
            cnull, cill = self.calm["null"], self.calm["ill"]
            cfresh = Row(cnull.b.copy(2.5 ** 2), 0.0)
            cill.b.P[3][3] += .1 ** 2 * dt / 10
            ci, cf = cill.hold(o), cfresh.hold(o)
            con = cnull.ill * stays
            cyoung = math.log((1 - con) * onset + con * CHANGES) + cf[0]
            cyoung = math.exp(cyoung - logadd(log(con * (1 - CHANGES)) + ci[0], cyoung))
            held = [(r, r.hold(o)) for r in self.calm_rows()]
            held = [(r, h) + incident(r.ill, h[0], going=(ci[0], cf[0])) for r, h in held]
            sums[5] = log(self.worth[5]) + held[0][3]
        alike = logadd(*sums)
        if self.calm:
            for k, i in enumerate((0, 9, 10)):
                self.calm["whole"][k] += held[i][3]
            for i in range(8):
                self.calm["A"][i] += held[1 + i][1][0] - alike
            for r, h, ill_, _ in held:
                r.learn(h, 1 - ill_)
                r.ill = ill_
            cill.learn(ci, 1)
            cfresh.learn(cf, 1)
            cill.b.blend(cyoung, cfresh.b)
        self.worth = [math.exp(s - alike) for s in sums]
        self.X -= alike
        for i, r in enumerate(self.alts):
            h = r.hold(o)
            self.A[i] += h[0] - alike
            after, _ = incident(r.ill, h[0])
            r.learn(h, 1 - after)
            r.ill = after
        self.margin.rho = math.log(margin)
        for i, r in enumerate(self.passes + [self.margin, self.open]):
            if i in (1, 2) and not self.goal:
                continue
            h = r.hold(o)
            after, tot = incident(r.ill, h[0])
            if i < 4:
                self.whole[1 + i] += tot
            r.learn(h, 1 - after)
            r.ill = after
        ill.learn(hi, 1)
        fresh.learn(hf, 1)
        self.illness.blend(f, fresh.b)

    def look_strain(self, o, dt, plain):
        """What the null says of the look where one arm may be a little worse for some minutes."""
        begun, on = Row(self.good[0].b.copy(STRAIN["size"] ** 2), 0.0), Row(self.strained, 0.0)
        hb, ho = begun.hold(o), on.hold(o)
        same = self.strain * math.exp(-dt / STRAIN["lasts"])
        begins = (1 - same) * (1 - math.exp(-min(dt, STRAIN["lasts"]) * STRAIN["begins"]))
        young = math.log(begins) + hb[0]
        inn = logadd(log(same) + ho[0], young)
        tot = logadd(math.log(1 - same - begins) + plain, inn)
        self.strain = math.exp(inn - tot)
        on.learn(ho, 1)
        begun.learn(hb, 1)
        self.strained.blend(math.exp(young - inn), begun.b)
        return tot

    def look_floor(self, dt, bad, expected):
        phi, q = self.steps(dt, 0.0)
        phi, q = phi[:4], q[:4]
        o = Poisson(bad / self.clusters, expected / self.clusters)
        for i, r in enumerate(self.floor):
            r.b.m, r.b.P = r.b.m[:4], [x[:4] for x in r.b.P[:4]]
            r.b.pass_(phi, q)
            if expected <= 0:
                continue
            h = r.hold(o)
            self.floorlog[i] += h[0]
            r.learn(h, 1)

    def below(self):
        return logadd(*self.floorlog[1:]) - math.log(4) - self.floorlog[0]

    def estimate(self):
        return math.exp(self.open.b.m[3])

    def stand(self, margin):
        A = [logadd(a, b) for a, b in zip(self.A, self.calm["A"])] if self.calm else self.A
        worse = logadd(math.log(max(1 - self.spent, 1e-12)), self.X, *A)
        least = 1.05 * min(margin, 20)
        ins = [a - math.log(.9 * p) for a, p, r in zip(A, PRIOR, RATIOS) if r <= least]
        far = [(a, p) for a, p, r in zip(A, PRIOR, RATIOS) if r > least]
        mean = logadd(*[a for a, _ in far]) - math.log(sum(p * .9 for _, p in far))
        beyond = logadd(mean, self.X - math.log(.1) - math.log(2))
        beyond = max(beyond, max(a - math.log(.9 * p) for a, p in far) - math.log(2))
        beyond -= max([math.log(self.spent)] + ins)
        if margin > 20:
            beyond = min(beyond, logadd(*self.E) - math.log(self.spent))
        if self.goal:
            no_worse = logadd(*self.whole[1:4]) - math.log(3) - self.whole[0]
        else:
            no_worse = logadd(math.log(.8) + self.whole[0], math.log(.2) + self.whole[1])
            at = self.whole[4]
            if self.lumps:
                no_worse = logadd(math.log(.7) + no_worse, math.log(.3) + self.lumps.whole[0])
                at = logadd(math.log(.7) + at, math.log(.3) + self.lumps.whole[1])
            if self.calm:
                c = self.calm["whole"]
                no_worse = logadd(math.log(1 - CALMLY) + no_worse, math.log(CALMLY) + logadd(math.log(.8) + c[0], math.log(.2) + c[1]))
                at = logadd(math.log(1 - CALMLY) + at, math.log(CALMLY) + c[2])
            if self.few:
                share_ = .4 * self.few
                no_worse = logadd(math.log(1 - share_) + no_worse, math.log(share_) + self.few_whole[0])
                at = logadd(math.log(1 - share_) + at, math.log(share_) + self.few_whole[1])
            if self.chill:
                c = self.chill_whole
                no_worse = logadd(math.log(1 - self.chill) + no_worse, math.log(self.chill) + logadd(math.log(.8) + c[0], math.log(.2) + c[1]))
                at = logadd(math.log(1 - self.chill) + at, math.log(self.chill) + c[2])
            no_worse -= at
        ratio = self.estimate()
        lead = max(range(8), key=lambda i: A[i])
        row = self.calm["alts"][lead] if self.calm and self.calm["A"][lead] > self.A[lead] else self.alts[lead]
        leading = ratio if self.X >= A[lead] else math.exp(row.rho + row.b.m[3])
        return worse, beyond, no_worse, ratio, leading, math.sqrt(sum(self.rest[:4]))

    def band(self, fails, passes):
        was = 2.5 ** 2 + self.arm ** 2
        m, v = self.open.b.m[3], max(self.open.b.P[3][3], 1e-9) + self.arm ** 2
        a = 1 / v - 1 / was
        if a <= 1e-9:
            return 1 / 245, 245.0
        end = lambda need, sg: math.exp((m / v + sg * math.sqrt(max((m / v) ** 2 - a * (m * m / v - 2 * need - math.log(was / v)), 0))) / a)
        return max(end(fails, -1), 1 / 245), min(end(passes, 1), 245.0)


# --- history -------------------------------------------------------------------------------------------------------


def share(h, tau):
    x = h / tau
    return 2 / (x * x) * (x - 1 + math.exp(-x))


def chi2(z, k):
    c = 2 / (9 * k)
    return k * max(1 - c + z * math.sqrt(c), .01) ** 3


def upper(b, z, clusters):
    if b["weight"] <= 0 or b["count"] < 2:
        return None
    k = max(b["weight"] ** 2 / b["fourth"] - 1, 1.5)
    return max((b["squares"] * k / chi2(z, k) - clusters * b["variance"]) / b["weight"], 0.0)


def surely(b, clusters):
    if b["weight"] <= 0 or b["count"] < 2:
        return False
    k = max(b["weight"] ** 2 / b["fourth"] - 1, 1.5)
    return b["squares"] * k / chi2(2.3263478740408408, k) > clusters * b["variance"]


def enough(b, z, clusters):
    return upper(b, z, clusters) if b["count"] >= 8 else None


def solve(A, y):
    n = len(y)
    M = [r[:] + [v] for r, v in zip(A, y)]
    for p in range(n):
        if M[p][p] <= 1e-12:
            return None
        for q in range(n):
            if q != p:
                f = M[q][p] / M[p][p]
                M[q] = [a - f * b for a, b in zip(M[q], M[p])]
    return [M[p][n] / M[p][p] for p in range(n)]


def shown(i, j):
    return 60 / LENGTHS[i] if j == 3 else share(LENGTHS[i], TAU[j])


def least(up, causes):
    rows = [(i, v, 1 / max(v, 1e-4)) for i, v in enumerate(up) if v is not None]
    best, out = INF, [0.0] * 4
    for mask in range(1 << causes):
        of = [j for j in range(causes) if mask >> j & 1]
        if len(of) > 3:
            continue
        A = [[sum(w * w * shown(i, p) * shown(i, q) for i, v, w in rows) for q in of] for p in of]
        y = [sum(w * w * shown(i, p) * v for i, v, w in rows) for p in of]
        x = solve(A, y)
        if x is None or any(c < 0 for c in x):
            continue
        full = [0.0] * 4
        for j, c in zip(of, x):
            full[j] = c
        miss = sum(((sum(full[j] * shown(i, j) for j in range(4)) - v) * w) ** 2 for i, v, w in rows)
        if miss < best - 1e-9:
            best, out = miss, full
    return out, best


def fit(up):
    x, miss = least(up, 3)
    if miss > .03:
        x, _ = least(up, 4)
    return [math.log1p(min(c, 4)) for c in x[:3]], x[3]


class Blocks:
    def __init__(self, length=0.0):
        self.length, self.u, self.v, self.t = length, 0.0, 0.0, 0.0
        self.s = dict(squares=0.0, variance=0.0, weight=0.0, fourth=0.0, count=0.0)

    def put(self, u, v):
        if v > 0:
            for k, x in (("squares", u * u), ("variance", v), ("weight", v * v), ("fourth", v ** 4), ("count", 1)):
                self.s[k] += x

    def add(self, u, v, dt):
        self.u, self.v, self.t = self.u + u, self.v + v, self.t + dt
        if self.t >= self.length - 1e-3:
            self.put(self.u, self.v)
            self.u = self.v = self.t = 0.0


def blocks_of(s, seconds):
    """Blocks of one series of sums, around its own rate."""
    X, N, out = s["bad"], s["total"], []
    r = (sum(X) + .5) / (sum(N) + 1)
    for length in LENGTHS:
        n, b = max(int(round(length / seconds)), 1), Blocks()
        for i in range(0, len(X) - n + 1, n):
            b.put(sum(X[i:i + n]) - r * sum(N[i:i + n]), r * sum(N[i:i + n]))
        out.append(b.s)
    return out


def past(h, groups, values=0):
    """What a history teaches."""
    X, N = h["baseline"]["bad"], h["baseline"]["total"]
    if sum(N) <= 0:
        return None
    rate = min(sum(X) / sum(N), 1.0)
    out = dict(release=False, rate=rate, blocks=blocks_of(h["baseline"], h["seconds"]), clusters=0.0, replicas=0, spread=0.0, incident=0.0, users=0.0)
    parts = [blocks_of(p, h["seconds"]) for p in h.get("parts") or []]
    if parts and values:
        out["parts"] = [{k: sum(p[i][k] for p in parts) for k in parts[0][i]} for i in range(3)]
    reps = h.get("replicas") or []
    if len(reps) < 2:
        return out
    if groups:
        return users(h, out)
    tot, sq, df, runs, bad_minutes = [], 0.0, 0, 0, 0
    n5 = max(int(round(300 / h["seconds"])), 1)
    for p in reps:
        sick = [x > 6 * n * rate + 8 for x, n in zip(p["bad"], p["total"])]
        bad_minutes += sum(sick)
        runs += sum(1 for i, s in enumerate(sick) if s and (i == 0 or not sick[i - 1]))
        x = sum(v for v, s in zip(p["bad"], sick) if not s)
        n = sum(v for v, s in zip(p["total"], sick) if not s)
        if n <= 0:
            continue
        tot.append((x, n))
        for i in range(0, len(sick) - n5 + 1, n5):
            e = x / n * sum(p["total"][i:i + n5])
            if e > 0 and not any(sick[i:i + n5]):
                sq += (sum(p["bad"][i:i + n5]) - e) ** 2 / e
                df += 1
    out["clusters"] = max(1.0, sq / df) if df >= 8 else 1.0
    out["replicas"] = len(tot)
    k = len(tot)
    mean = sum(x / n for x, n in tot) / k if k else 0
    if k >= 2 and mean > 0:
        v = sum((x / n - mean) ** 2 for x, n in tot) / (k - 1) - sum(out["clusters"] * mean / n for x, n in tot) / k
        out["spread"] = math.sqrt(max(v, 0)) / mean
    if runs:
        long = bad_minutes / runs * h["seconds"]
        out["incident"] = long if long >= 1.5 * h["seconds"] else 0.0
    return out


def users(h, out):
    """What groups of users teach, by the variance of a ratio between clusters."""
    n5, sq, df, all_, d = max(int(round(300 / h["seconds"])), 1), 0.0, 0, 0.0, []
    for p in h["replicas"]:
        x, n = sum(p["bad"]), sum(p["total"])
        if n <= 0:
            continue
        d.append(x - out["rate"] * n)
        all_ += x
        for i in range(0, len(p["bad"]) - n5 + 1, n5):
            big = any(v > 6 * t + 8 for v, t in zip(p["bad"][i:i + n5], p["total"][i:i + n5]))
            e = x / n * sum(p["total"][i:i + n5])
            if e > 0 and not big:
                sq += (sum(p["bad"][i:i + n5]) - e) ** 2 / e
                df += 1
    out["clusters"] = max(1.0, sq / df) if df >= 8 else 1.0
    s2, s4, k = sum(x * x for x in d), sum(x ** 4 for x in d), len(d)
    if k >= 2 and all_ > 0 and s4 > 0:
        g = max(min(s2 * s2 / s4, k - 1), 1.5)
        out["users"] = max(s2 * k / (k - 1) - out["clusters"] * all_, 0) / all_ ** 2 * g / chi2(-1.2815515655446004, g)
    return out


# --- a metric ------------------------------------------------------------------------------------------------------


class Spread:
    """The variance of independent looks that explains how a number wanders over 1, 2, 4 and 8 looks."""

    def __init__(self):
        self.l = [dict(size=1 << i, buf=[], before=None, sq=0.0, n=0) for i in range(4)]

    def add(self, z):
        for v in self.l:
            v["buf"].append(z)
            if len(v["buf"]) == v["size"]:
                m = sum(v["buf"]) / v["size"]
                if v["before"] is not None:
                    v["sq"] += (m - v["before"]) ** 2 / 2 * v["size"]
                    v["n"] += 1
                v["before"], v["buf"] = m, []

    def estimate(self, prior):
        return max((2 * prior + v["sq"]) / (2 + v["n"]) for i, v in enumerate(self.l) if i == 0 or v["n"] >= 1)


BET_RATIOS = [.1, 1 / 6, .25, 1 / 3, .4, .5, 1 / 1.75, 1 / 1.5, 1 / 1.35, 1 / 1.2, 1 / 1.1, 1 / 1.05, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0]


class Bets:
    """Bets on the share that each arm has of the sum of all values."""

    def __init__(self, margin, passes):
        self.margin, self.passes = margin, passes
        self.worse, self.stakes, self.spent, self.turns, self.t, self.cold = [-INF] * 5, [], 0.0, 0, 0.0, 0.0
        self.no = [0.0] * 3
        self.above = {r: [0.0] * 3 for r in BET_RATIOS}
        self.below = {r: [0.0] * 3 for r in BET_RATIOS}

    def wait(self, dt):
        self.cold *= math.exp(-dt / 240)
        self.t += dt

    def look(self, dt, starts, turned, o):
        first = self.t == 0
        if first:
            w = .5
        elif turned:
            self.turns += 1
            k = self.turns - 3
            w = 1 / 16 / (k * (k + 1)) if k > 0 else 1 / 16
        else:
            w = .25 * (3600 / (3600 + self.t) - 3600 / (3600 + self.t + dt))
        self.cold = 1 - (1 - self.cold * math.exp(-dt / 240)) * (1 - starts)
        self.t += dt
        self.spent += w
        self.worse = [logadd(x, math.log(w / 5)) for x in self.worse]
        if o[0] + o[2] <= 0 or o[1] <= 0 or o[3] <= 0:
            return
        parts = [o[1] / (o[1] + o[3]), o[3] / (o[1] + o[3])]

        def wins(r):
            sums = [o[0], r * o[2]]
            return [min(x / sum(sums) / p, 3.0) - 1 for x, p in zip(sums, parts)]

        gain = min(1.5 ** (dt / 10) - 1, 2.0)
        warm = (1 - self.cold) ** 2
        size, small = warm * min(.9, gain / min(2.0, parts[1] / parts[0])), warm * .9
        self.worse = [x + math.log1p(size / 2 ** i * wins(self.margin)[0]) for i, x in enumerate(self.worse)]
        self.no = [x + math.log1p(small / 2 ** i * wins(self.passes)[1]) for i, x in enumerate(self.no)]
        for r in BET_RATIOS:
            self.above[r] = [x + math.log1p(size / 4 ** i * wins(r)[0]) for i, x in enumerate(self.above[r])]
            self.below[r] = [x + math.log1p(small / 2 ** i * wins(r)[1]) for i, x in enumerate(self.below[r])]

    def stand(self):
        e = logadd(math.log(max(1 - self.spent, 1e-12)), *self.worse)
        return e, logadd(*self.no) - math.log(3)

    def band(self, fails, passes):
        low = [r for r in BET_RATIOS if logadd(*self.above[r]) - math.log(3) >= fails]
        high = [r for r in BET_RATIOS if logadd(*self.below[r]) - math.log(3) >= passes]
        return max(low, default=1 / 245), min(high, default=245.0)


class Judge:
    """One metric, as `serin judge --judge sequential` takes it."""

    def __init__(self, head):
        self.m = m = dict(head["metric"])
        self.dt = head["seconds"]
        m.setdefault("direction", "increase")
        m.setdefault("noise", 0.0)
        m.setdefault("minRequests", 0.0)
        m.setdefault("passAfter", 0.0)
        m.setdefault("goal", False)
        self.rel, self.abs = m["margin"].get("relative", 0.0), m["margin"].get("absolute", 0.0)
        self.cold = m.get("cold", False) or m["kind"] == "histogram"
        bounds = m.get("bounds") or [None]
        n = len(bounds)
        near = m.get("nearest", 0)
        parts = [1 / n] * n
        if near and n > 1:
            k = min(range(n), key=lambda i: abs(bounds[i] - near))
            parts = [.5 if i == k else .5 / (n - 1) for i in range(n)]
        both = m["direction"] == "either"
        self.sides = [False, True] if both else [m["direction"] == "decrease"]
        self.q = [(x, i, parts[i]) for x in self.sides for i in range(n)]
        self.fails_from = math.log(1 / m["falseRollback"]) + (math.log(2) if both else 0)
        self.pass_from = math.log(1 / m["falseAdvance"]) if m.get("falseAdvance") else INF
        self.k = 0
        self.learned = head.get("learned") or []
        self.past = past(head["history"], bool(m.get("users")), m.get("values", 0)) if head.get("history") else None
        self.values, self.parts = m.get("values", 0), []
        self.noise()
        self.calm = self.restless()
        self.rules = self.affords()
        self.f = [None] * len(self.q)
        self.tot = [[0.0] * 4 for _ in self.q]
        self.waiting = [[0.0] * 4 for _ in self.q]
        self.own = [Blocks(60.0) for _ in self.q]
        self.base = [Blocks(60.0) for _ in self.q]
        self.sp = [Spread() for _ in self.q]
        self.looks, self.weight, self.turned, self.starts, self.elapsed = 0, None, False, 0.0, 0
        self.n = [0.0, 0.0]
        self.since = [0.0, 0.0]
        self.data = 0

    def noise(self):
        m = self.m
        self.known = bool(self.past or self.learned)
        self.clusters, self.incident, self.replicas, self.spread, self.rate = 1.0, 45.0, 0, 0.0, 0.0
        one = min(m["noise"] ** 2, 4)
        self.supposed = [.3 * one, .6 * one, .1 * one]
        self.lumps = self.users = 0.0
        if m.get("users") and m["kind"] in ("ratio", "histogram"):
            self.users = self.past["users"] if self.past and self.past["users"] > 0 else .05
        if m["kind"] in ("gauge", "mean"):
            self.supposed = [0.0] * 3
        if not self.known or m["kind"] in ("gauge", "mean"):
            self.wander = self.supposed
            return
        for p in self.learned:
            self.rate = p["rate"]
        up = []
        for i in range(3):
            h = self.past["blocks"][i] if self.past and self.past["rate"] > 0 else None
            v = enough(h, -1.2815515655446004, max(self.past["clusters"], 1.0)) if h else None
            lumpy = v is not None and surely(h, max(self.past["clusters"], 1.0)) and self.past["replicas"] < 2 and self.past["users"] == 0
            if m["kind"] != "objective" and self.learned:
                b = {k: sum(p["blocks"][i][k] for p in self.learned) for k in ("squares", "variance", "weight", "fourth", "count")}
                r = enough(b, -1.6448536269514722, 1.0)
                if r is not None and (self.past is None or v is not None and 1.5 * r < v):
                    v, lumpy = r / 2, False
            if lumpy:
                self.lumps = h["variance"] / (h["count"] * LENGTHS[i] * self.past["rate"])
            up.append(v)
        if all(v is None for v in up):
            self.wander, self.known, self.rate, self.lumps = self.supposed, False, 0.0, 0.0
            return
        up = [sum(math.expm1(w) * share(LENGTHS[i], TAU[j]) for j, w in enumerate(self.supposed)) if v is None else v for i, v in enumerate(up)]
        self.wander, minute = fit(up)
        if self.past:
            self.rate = self.past["rate"]
            self.clusters, self.replicas, self.spread = max(self.past["clusters"], 1.0), self.past["replicas"], self.past["spread"]
            b = self.past["blocks"][0]
            if b["count"] > 0:
                self.clusters = min(max(self.clusters, 1 + minute * b["variance"] / b["count"]), 1e6)
            if self.past["incident"] > 0:
                self.incident = max(60.0, self.past["incident"])
            elif self.replicas >= 2:
                self.incident = 30.0

    def restless(self):
        return self.m["kind"] in ("ratio", "histogram") and not self.m["goal"] and sum(2 * w for w in self.wander) > 8 * .05 ** 2

    def few(self):
        if not self.m.get("sticky") or self.m.get("users") or self.m["goal"] or self.m["kind"] not in ("ratio", "histogram"):
            return 0.0
        odds = 0.0
        for p in self.learned:
            if p.get("unsure", 0) > 0 and p.get("weight", 0) > 0:
                w = max(1e-3, min(p["weight"], 1 - 1e-3))
                many = p["unsure"] + .05 ** 2
                few = many + min(FEW / (w * (1 - w)), MOST_FEW)
                d = p.get("apart", 0) ** 2 / 2
                odds += max(-3.0, min(d / many - d / few - math.log(few / many) / 2, 3.0))
        return max(.001, min(1 / (1 + math.exp(-odds)), .9))

    def chill(self):
        """What a cold start is worth where earlier releases began warm; 0 where all rows allow for one."""
        odds = 0.0
        for p in self.learned if self.cold and not self.m["goal"] and self.m["kind"] in ("ratio", "histogram") else []:
            odds = max(-3.0, min(odds + p.get("began", 0.0), 3.0))
        return .5 if odds < 0 else 0.0

    def arm(self):
        if self.replicas > 0:
            return max(.03, self.spread * math.sqrt(1 / max(self.k, 1) + 1 / self.replicas))
        squares, n = 2 * .05 ** 2, 2.0
        for p in self.learned if self.m["kind"] in ("ratio", "histogram") else []:
            if p.get("unsure", 0) > 0:
                w = (1 + p["unsure"] / .1 ** 2) ** -2
                n += w
                if p.get("apart", 0) > 0:
                    squares += w * 2 * max(min(p["apart"], .4) ** 2 - p["unsure"], 0)
        return max(.03, math.sqrt(squares / n)) if n > 2 else .05

    def affords(self):
        """The ratio that a pass rules out by the budget of time, 0 where that is the margin."""
        budget, b = self.m.get("budget") or [], self.past["blocks"][0] if self.past else None
        if not budget or not self.known or not b or b["count"] < 8 or not self.rate > 0:
            return 0.0
        events = b["variance"] / (b["count"] * 60)
        seen = sum(events * s["seconds"] * s["weight"] * (1 - s["weight"]) for s in budget) / self.clusters
        if seen <= 0:
            return 0.0
        T, w = sum(s["seconds"] for s in budget), budget[-1]["weight"]
        v = 1 / seen + self.arm() ** 2 + sum(2 * x * share(T, t) for x, t in zip(self.wander, TAU)) + self.users / (w * (1 - w))
        z = 1.2815515655446004 + math.sqrt(1.2815515655446004 ** 2 + 2 * (self.pass_from + .25))
        ratio = math.ceil(min(math.exp(z * math.sqrt(v)), 10) * 20 - 1e-9) / 20
        if self.m.get("direction") != "decrease":
            ratio = min(ratio, 1 / self.rate)  # all requests are bad
        return ratio if ratio > max(1 + self.rel, 1 + self.abs / self.rate) else 0.0

    def new_part(self):
        """A judge of one part: the noise of all parts pooled where the pasts have it, else the whole's, not learned."""
        head = dict(metric={k: v for k, v in self.m.items() if k not in ("values", "budget")}, seconds=self.dt)
        p = Judge(head)
        pooled = [dict(q, blocks=q["parts"]) for q in self.learned if q.get("parts")]
        of = dict(self.past, blocks=self.past["parts"]) if self.past and self.past.get("parts") else None
        p.learned, p.past = (pooled, of) if pooled or of else (self.learned, self.past)
        p.noise()
        p.calm = p.restless()
        if not (pooled or of):
            p.known = False
        p.k = self.k
        return p

    def part(self, value):
        for v, p in self.parts:
            if v == value:
                return p
        if value and (sum(1 for v, _ in self.parts if v) >= self.values or len(value.encode()) > 256):
            return self.part("")
        p = self.new_part()
        self.parts.append((value, p))
        return p

    def look_parts(self, l):
        sums = {}
        for x in l.get("parts") or []:
            p = self.part(x["value"])
            c, b = sums.setdefault(id(p), ([0.0, 0.0], [0.0, 0.0]))
            for to, arm in ((c, x["canary"]), (b, x["baseline"])):
                to[0] += arm["bad"]
                to[1] += arm["total"]
        for _, p in self.parts:
            c, b = sums.get(id(p), ([0.0, 0.0], [0.0, 0.0]))
            for i, (x, _, _) in enumerate(self.q):
                p.weight, p.turned = self.weight, self.turned
                p.starts = self.starts if p.f[i] else 1.0
                p.one(i, x, b + c if x else c + b)

    def say_parts(self, side, d):
        """Puts the parts' evidence into that of one direction, d."""
        stake = .5 / (self.values + 1)
        worse, most = d["worse"] + math.log(.5), max(0.0, d["own"] + math.log(.5))
        free = self.values + 1 - len(self.parts)
        if free:
            worse = logadd(worse, math.log(stake * free))
        shown = d
        for v, p in self.parts:
            for f in p.find():
                if f["x"] != side:
                    continue
                e = f["worse"] + math.log(stake)
                worse = logadd(worse, e)
                if e > most:
                    most, shown = e, dict(f, value=v)
        return dict(shown, worse=worse, no=d["no"])

    def row(self, exchange, bound, l):
        kind = self.m["kind"]
        arm = lambda a: ([a["value"], 1.0] if kind == "gauge" else [a["sum"], a["count"]] if kind == "mean" else [a["total"] - a["cumulative"][bound], a["total"]] if kind == "histogram" else [a["bad"], a["total"]])
        c = arm(l["canary"])
        if kind == "objective":
            return [c[0], c[1], 0.0, c[1] * self.m["objective"]]
        b = arm(l["baseline"])
        return b + c if exchange else c + b

    def baseline_rate(self, i):
        return (self.tot[i][2] + .5) / (self.tot[i][3] + 1)

    def margin(self, i):
        if self.m["kind"] in ("objective", "gauge", "mean"):
            return 1 + self.rel
        return max(1 + self.rel, 1 + self.abs / self.baseline_rate(i))

    def look(self, l):
        self.looks += 1
        w, kind = l.get("weight", 0.0), self.m["kind"]
        if self.weight is None:
            self.weight = w
        reps = (l.get("replicas") or {}).get("canary") or []
        known = sum(r["total"] for r in reps)
        if w != self.weight:
            st = (w - self.weight) / w if w > self.weight and not known > 0 else 0.0
            self.weight, self.turned = w, True
            self.starts = 1 - (1 - self.starts) * (1 - st)
            self.since = [0.0, 0.0]
        if known > 0:
            self.starts = max(self.starts, sum(r["total"] for r in reps if r["age"] <= self.dt) / known)
        missing = l.get("canary") is None or kind != "objective" and l.get("baseline") is None
        empty = False
        if missing:
            for f in self.f:
                if f:
                    f.wait(self.dt)
            for _, p in self.parts:
                for f in p.f:
                    f.wait(self.dt)
        else:
            if self.data == 0:
                self.k, self.starts = len(reps), 1.0
            self.data += 1
            for i, (x, b, _) in enumerate(self.q):
                self.one(i, x, self.row(x, b, l))
            if self.values:
                self.look_parts(l)
            self.turned, self.starts = False, 0.0
            size = lambda a: 1.0 if kind == "gauge" else a["count" if kind == "mean" else "total"]
            arms = [size(l["canary"]), 0.0 if kind == "objective" else size(l["baseline"])]
            self.n = [a + b for a, b in zip(self.n, arms)]
            self.since = [a + b for a, b in zip(self.since, arms)]
            empty = kind != "gauge" and (arms[0] == 0 or kind != "objective" and arms[1] == 0)
        return self.say(missing, empty)

    def bet(self, i, o):
        """One look of a metric whose values have a sum."""
        self.f[i] = self.f[i] or Bets(1 + self.rel, 1.0 if self.m["goal"] else 1 + self.rel)
        if self.abs > 0:  # each value is raised, so that an absolute margin is a relative one
            o = [o[0] + self.abs / self.rel * o[1], o[1], o[2] + self.abs / self.rel * o[3], o[3]]
        self.tot[i] = [a + b for a, b in zip(self.tot[i], o)]
        wt = [a + b for a, b in zip(self.waiting[i], o)]
        both = wt[1] > 0 and wt[3] > 0
        self.waiting[i] = [0.0] * 4 if both else wt
        self.f[i].look(self.dt, self.starts, self.turned, wt if both else [0.0] * 4)

    def say_bets(self, i, f, of):
        """What the bets say, of the means as they are."""
        t, (worse, no) = self.tot[i], f.stand()
        r = t[0] / t[1] / (t[2] / t[3]) if t[1] > 0 and t[3] > 0 and t[2] > 0 else 1.0 if t[0] == t[2] == 0 or 0 in (t[1], t[3]) else 1000.0
        r = max(1e-3, min(1e3, r))
        lower, up = f.band(self.fails_from, self.pass_from if self.pass_from < INF else math.log(20))
        return dict(of, worse=worse, beyond=worse, no=no, ratio=r, leading=r, noise=0.0, lower=lower, upper=up)

    def one(self, i, exchange, o):
        kind = self.m["kind"]
        if kind == "mean":
            return self.bet(i, o)
        own = self.own[i]
        arms = 1 if kind == "objective" else 2
        wander = [arms * v for v in self.wander]
        if not self.known and kind != "gauge" and own.s["count"] >= 4:
            n = own.s["count"]
            shows = sum(w * (share(60, TAU[k]) - share(60 * n, TAU[k])) for k, w in enumerate(wander))
            scale, b = 1.0, self.base[i].s
            if shows > 0 and b["count"] >= 4 and surely(b, 1.0):
                scale = max(1.0, min(2 * (b["squares"] - b["variance"]) / b["weight"] / shows, 4 / wander[1]))
            most = upper(own.s, -1.2815515655446004, 1.0)
            if shows > 0 and most is not None:
                scale = min(scale, most / shows)
            wander = [w * scale for w in wander]
        if self.f[i] is None:
            self.f[i] = Filter(wander, self.arm(), self.cold, self.clusters, self.incident, self.m["goal"], self.lumps, self.users, self.calm, self.few(), self.chill())
        f = self.f[i]
        f.set_wander(wander)
        heavy = kind != "gauge" and o[0] > o[1] / 2
        self.tot[i] = [a + b for a, b in zip(self.tot[i], o)]
        broken = kind in ("ratio", "histogram") and any(min(x[1], x[3]) >= 20 and (x[1] - x[0]) * x[3] < (x[3] - x[2]) * x[1] / 2 for x in (o, self.tot[i]))
        margin = min(max(self.margin(i), self.rules), 1e6)
        datum, allowed, bad = None, 0.0, 0.0
        phi = self.clusters
        if kind == "gauge":
            if o[0] > 0 or o[2] > 0:
                z = max(-math.log(1000), min(math.log(1000), log(max(o[0], 0)) - log(max(o[2], 0))))
                datum = Normal(z, max(self.sp[i].estimate(max(self.m["noise"] ** 2, 1e-6) * 60 / self.dt), 1e-12))
                self.sp[i].add(z)
        elif kind == "objective":
            if o[3] > 0:
                datum = Poisson(o[0] / phi, o[3] / phi, -1 if exchange else 1)
            r = max(1e-3, min(1e3, f.estimate()))
            own.add(o[0] - r * o[3], r * o[3], self.dt)
        else:
            wt = self.waiting[i] = [a + b for a, b in zip(self.waiting[i], o)]
            if wt[1] > 0 and wt[3] > 0:
                o, self.waiting[i] = wt, [0.0] * 4
            else:
                o = [0.0] * 4
            b = o[0] + o[2]
            if b > 0 and o[1] > 0 and o[3] > 0:
                datum = Binomial(o[0] / phi, b / phi, math.log(o[1] / o[3]))
            r = max(1e-3, min(1e3, f.estimate()))
            t = r * o[1] / (r * o[1] + o[3]) if b > 0 else 0.0
            own.add(o[0] - b * t, b * t * (1 - t), self.dt)
            e = self.baseline_rate(i) * o[3]
            self.base[i].add(o[2] - e, e, self.dt)
            if self.abs > 0:
                allowed, bad = o[1] * (self.abs + self.baseline_rate(i)), o[0]
                f.look_floor(self.dt, o[0], o[1] * self.abs)
        f.look(self.dt, self.starts, self.turned, margin, heavy, datum, allowed, bad, self.weight, [o[1], o[3]] if kind in ("ratio", "histogram") else None, broken)

    def find(self):
        """What each comparison says."""
        found = []
        kind = self.m["kind"]
        for i, (x, b, part) in enumerate(self.q):
            f, m = self.f[i], self.margin(i)
            if f is None:
                found.append(dict(worse=0.0, beyond=0.0, no=0.0, ratio=1.0, leading=1.0, noise=None, lower=1 / 245, upper=245.0, margin=m, x=x, b=b, part=part))
                continue
            if kind == "mean":
                found.append(self.say_bets(i, f, dict(margin=m, x=x, b=b, part=part)))
                continue
            f.set_wander([(1 if kind == "objective" else 2) * v for v in self.wander])
            worse, beyond, no, ratio, leading, noise = f.stand(m)
            if kind in ("ratio", "histogram") and self.abs > 0 and not self.m["goal"]:
                s = .05 if self.rate > 0 and self.rate * self.rel > self.abs else .5
                no = logadd(no + math.log(1 - s), f.below() + math.log(s))
            lower, up = f.band(self.fails_from, self.pass_from if self.pass_from < INF else math.log(20))
            found.append(dict(worse=worse, beyond=beyond, no=no, ratio=ratio, leading=leading, noise=noise, lower=lower, upper=up, margin=m, x=x, b=b, part=part))
        return found

    def say(self, missing, empty):
        found, kind, dirs = self.find(), self.m["kind"], []
        for side in self.sides:
            part = [f for f in found if f["x"] == side]
            best = max(part, key=lambda f: f["worse"] + math.log(f["part"]))
            d = dict(best, own=best["worse"] + math.log(best["part"]), worse=logadd(*[f["worse"] + math.log(f["part"]) for f in part]), no=min(f["no"] for f in part))
            dirs.append(self.say_parts(side, d) if self.values else d)
        d = dirs[0]
        if len(dirs) == 2:
            d = dict(max(dirs, key=lambda d: (d["worse"], d["beyond"])))
            d["no"] = min(x["no"] for x in dirs)
        fails = d["worse"] >= self.fails_from and d["beyond"] >= math.log(20)
        enough = lambda n: n > 0 and n >= (0 if kind == "gauge" else self.m["minRequests"])
        ok = d["no"] >= self.pass_from and enough(self.n[0]) and (kind == "objective" or enough(self.n[1]))
        verdict = "inconclusive"
        if fails and not missing:
            verdict = "fail"
        elif not missing and not empty and ok and (self.looks - 1) * self.dt >= self.m["passAfter"]:
            verdict = "pass"
        inv = (lambda v: 1 / v) if d["x"] else (lambda v: v)
        lo, hi = (inv(d["upper"]), inv(d["lower"])) if d["x"] else (d["lower"], d["upper"])
        out = dict(ratio=inv(d["ratio"]), leading=inv(d["leading"]), margin=inv(d["margin"]), lower=lo, upper=hi,
                   logEvidence=dict(worse=d["worse"], beyond=d["beyond"], noWorse=d["no"]), verdict=verdict)
        t, raised = self.tot[0], self.abs / self.rel if kind == "mean" and self.abs > 0 else 0.0
        j = 0 if self.q[0][0] else 2  # where the baseline's sums are
        if raised > 0 and t[j + 1] > 0 and t[j] / t[j + 1] > raised:
            mean = t[j] / t[j + 1] - raised
            for k in ("ratio", "leading", "margin", "lower", "upper"):
                out[k] = max(0.0, (out[k] * (mean + raised) - raised) / mean)
        if d["noise"] is not None:
            out["noise"] = d["noise"]
        if kind == "histogram":
            out["bound"] = self.m["bounds"][d["b"]]
        if self.rules > d["margin"]:
            out["rules"] = inv(self.rules)
        if "value" in d:
            out["part"] = d["value"]
        return out


class Split:
    def __init__(self, head):
        self.m, self.dt, self.weight = head["metric"], head["seconds"], None
        self.reset()

    def reset(self):
        self.c = self.b = self.t = 0.0
        self.sp = Spread()

    def look(self, l):
        w = l["weight"]
        if w != self.weight:
            self.weight = w
            self.reset()
        c, b = l["canary"]["requests"], l["baseline"]["requests"]
        n = c + b
        if n > 0:
            self.c, self.b, self.t = self.c + c, self.b + b, self.t + self.dt
            self.sp.add((c - n * w) / math.sqrt(n * w * (1 - w)))
        N = self.c + self.b
        if N == 0:
            return dict(ratio=1.0, noise=self.m["noise"], logEvidence=dict(more=0.0, fewer=0.0), verdict="inconclusive")
        z = math.log((self.c + .5) / (self.b + .5)) - math.log(w / (1 - w))
        v = max(1.0, self.sp.estimate(1.0)) / (N * w * (1 - w)) + self.m["noise"] ** 2 * 90 / max(self.t, 90)
        e = math.log(v / (v + 1)) / 2 + z * z / 2 * (1 / v - 1 / (v + 1))
        alarm = e >= math.log(2 / self.m["falseAlarm"]) and abs(math.exp(z) - 1) >= self.m["tolerance"]
        return dict(ratio=math.exp(z), noise=self.m["noise"], logEvidence=dict(more=e if z >= 0 else 0.0, fewer=0.0 if z >= 0 else e),
                    verdict="alarm" if alarm else "inconclusive")


# --- sequences -----------------------------------------------------------------------------------------------------


def binom(r, n, p):
    return float(sum(r.random() < p for _ in range(int(n)))) if n < 3000 else float(min(n, max(0, round(r.gauss(n * p, math.sqrt(n * p * (1 - p)))))))


def draw_history(r, minutes, rate, base, sd, replicas=0, pod=0.0):
    def one(k):
        x, bad, tot = 0.0, [], []
        a = math.exp(-60 / 195)
        f = math.exp(r.gauss(0, pod)) if pod else 1.0
        for _ in range(minutes):
            x = a * x + sd * math.sqrt(1 - a * a) * r.gauss(0, 1)
            n = float(round(rate * 60 / k))
            tot.append(n)
            bad.append(binom(r, n, min(1, base * f * math.exp(x))))
        return dict(bad=bad, total=tot)
    if not replicas:
        return dict(seconds=60, baseline=one(1))
    reps = [one(replicas) for _ in range(replicas)]
    add = lambda key: [sum(p[key][i] for p in reps) for i in range(minutes)]
    return dict(seconds=60, baseline=dict(bad=add("bad"), total=add("total")), replicas=reps)


def sequences():
    r = random.Random(18)
    out = []

    def counts(name, looks=40, rps=100, base=.01, w=.2, effect=lambda t: 1.0, seconds=10, metric=None, weights=None, empty=0.0, missing=0.0, replicas=False, **head):
        m = dict(kind="ratio", falseRollback=.01, falseAdvance=.05, margin=dict(relative=.25, absolute=.001), noise=.3, minRequests=100)
        m.update(metric or {})
        ls = []
        for t in range(looks):
            ww = weights(t) if weights else w
            n = max(1, round(r.gauss(rps * seconds, math.sqrt(rps * seconds))))
            nc = float(round(n * ww)) if r.random() >= empty else 0.0
            nb = float(n - nc)
            l = dict(weight=ww, canary=dict(bad=binom(r, nc, min(1, base * effect(t))), total=nc), baseline=dict(bad=binom(r, nb, base), total=nb))
            if r.random() < missing:
                l["canary"] = None
            if replicas:
                l["replicas"] = dict(canary=[dict(age=10.0 * t + 5, bad=0, total=nc / 2), dict(age=10.0 * (t % 12) + 3, bad=0, total=nc / 2)])
            ls.append(l)
        out.append(dict(name=name, metric=m, seconds=seconds, looks=ls, **head))

    step = lambda t: [.01, .05, .2, .5][min(t // 12, 3)]
    quiet = draw_history(r, 240, 100, .01, 0.0)
    drift = draw_history(r, 240, 100, .01, .3)
    pods = draw_history(r, 120, 100, .01, .05, 5, .2)
    sick = draw_history(r, 120, 100, .01, .05, 4, .1)
    for i in range(40, 44):
        sick["replicas"][1]["bad"][i] += 200.0
        sick["baseline"]["bad"][i] += 200.0
    burst = draw_history(r, 240, 12, .01, 0.0)
    burst["baseline"]["bad"] = [8 * x for x in burst["baseline"]["bad"]]
    burst["baseline"]["total"] = [8 * n for n in burst["baseline"]["total"]]
    counts("good, history of bursts", looks=40, history=burst)
    counts("good, nothing known", looks=60)
    counts("good, quiet history", looks=60, history=quiet)
    counts("good, history that drifts", looks=50, history=drift)
    counts("good, history of replicas", looks=50, history=pods, replicas=True)
    counts("good, history of replicas with an incident", looks=40, history=sick)
    counts("twice the errors", effect=lambda t: 2.0, looks=60, history=quiet)
    counts("five times the errors", effect=lambda t: 5.0, history=quiet)
    counts("five times the errors, drift", effect=lambda t: 5.0, history=drift)
    counts("an outage", effect=lambda t: 100.0, looks=5, history=quiet)
    counts("an outage from the middle", effect=lambda t: 1.0 if t < 20 else 100.0, looks=30, history=quiet)
    counts("a restart", effect=lambda t: 100.0 if t == 15 else 1.0, looks=40, history=quiet)
    counts("bad minutes that come again", effect=lambda t: 30.0 if t % 12 < 3 else 1.0, looks=60, history=quiet)
    counts("steps", weights=step, looks=60, history=quiet)
    counts("steps, five times as bad from the third on", weights=step, effect=lambda t: 5.0 if t >= 24 else 1.0, looks=48, history=quiet)
    counts("many small steps", weights=lambda t: (1 + t // 4) / 20, looks=44)
    counts("down and up again", weights=lambda t: [.2, .1, .4][min(t // 10, 2)], looks=36, metric=dict(cold=True))
    counts("little traffic", rps=1, w=.05, looks=80, empty=.3, history=draw_history(r, 600, 1, .01, 0))
    counts("little traffic, all fails", rps=1, w=.05, looks=60, empty=.3, effect=lambda t: 100.0)
    counts("no errors at all", base=0.0, looks=60)
    counts("no errors at the baseline, many at the canary", base=1e-6, effect=lambda t: 3e4, looks=20)
    counts("a better canary", effect=lambda t: .3, looks=60, history=quiet)
    counts("better, then as good", effect=lambda t: .2 if t < 30 else 1.0, looks=60, history=quiet)
    counts("missing looks", missing=.3, looks=50, history=quiet)
    counts("cold, a warm canary", metric=dict(cold=True, margin=dict(relative=.25, absolute=.01)), base=.03, looks=40, history=quiet)
    counts("cold, slow for two minutes", metric=dict(cold=True, margin=dict(relative=.25, absolute=.01)), base=.03, effect=lambda t: 1 + 6 * math.exp(-t / 8), weights=step, looks=50, history=quiet)
    counts("cold, slow for good", metric=dict(cold=True, margin=dict(relative=.25, absolute=.01)), base=.03, effect=lambda t: 3.0, looks=50, history=quiet)
    counts("fewer is worse", metric=dict(direction="decrease", margin=dict(relative=.25)), base=.1, effect=lambda t: .5, looks=40, history=quiet)
    counts("neither way", metric=dict(direction="either"), base=.05, effect=lambda t: .4, looks=40)
    counts("a goal that is reached", metric=dict(goal=True), base=.05, effect=lambda t: .4, looks=40)
    counts("a goal that is not", metric=dict(goal=True), base=.05, looks=40)
    counts("looks of 37 seconds", seconds=37, looks=40, history=quiet)
    counts("a pass that waits", metric=dict(passAfter=300.0, margin=dict(relative=1.0)), base=.05, looks=45)
    learned = [dict(release=True, rate=.0101, blocks=[dict(squares=900.0 + i, variance=1000.0, weight=40000.0, fourth=2e6, count=30.0 / (1 + i)) for i in range(3)])]
    counts("learned of a release", looks=40, learned=learned)
    counts("learned of releases, and a restless history", looks=40, learned=learned + [dict(learned[0], rate=.0099)], history=drift)
    for name, rate, direction in (("an objective that is kept", .005, "increase"), ("an objective that is missed", .04, "increase"), ("fewer than an objective wants", .003, "decrease")):
        m = dict(kind="objective", falseRollback=.01, falseAdvance=.05, margin=dict(relative=1.0), noise=.3, minRequests=100, objective=.01, direction=direction)
        out.append(dict(name=name, metric=m, seconds=10, looks=[dict(canary=dict(bad=binom(r, 300, rate), total=300.0)) for _ in range(50)]))
    for name, f, direction in (("a gauge that is the same", 1.0, "increase"), ("a gauge that is higher", 1.6, "increase"), ("a gauge that is lower where that is worse", .6, "decrease")):
        m = dict(kind="gauge", falseRollback=.01, falseAdvance=.05, margin=dict(relative=.2), noise=.3, direction=direction)
        out.append(dict(name=name, metric=m, seconds=10, looks=[dict(canary=dict(value=f * r.uniform(.9, 1.1)), baseline=dict(value=r.uniform(.9, 1.1))) for _ in range(60)]))
    for name, f in (("a distribution that is the same", 1.0), ("a distribution that is slower", 2.5)):
        m = dict(kind="histogram", falseRollback=.01, falseAdvance=.05, margin=dict(relative=.25, absolute=.01), noise=.3, minRequests=100, bounds=[.1, .3, 1.2], nearest=.3)

        def arm(n, f):
            above = [binom(r, n, min(.9, p * f)) for p in (.4, .1, .01)]
            above = sorted(above, reverse=True)
            return dict(cumulative=[n - a for a in above], total=n)
        out.append(dict(name=name, metric=m, seconds=10, looks=[dict(weight=.3, canary=arm(300.0, f), baseline=arm(700.0, 1.0)) for _ in range(40)]))
    for name, p in (("a split that is right", .1), ("a split that is not", .13)):
        m = dict(kind="split", noise=.02, falseAlarm=.001, tolerance=.1)
        ls = []
        for _ in range(30):
            c = binom(r, 1000, p)
            ls.append(dict(weight=.1, canary=dict(requests=c), baseline=dict(requests=1000 - c)))
        out.append(dict(name=name, metric=m, seconds=10, looks=ls))
    counts("a history of three minutes", looks=40, history=draw_history(r, 3, 100, .01, .3))
    counts("a history of twenty minutes", looks=40, history=draw_history(r, 20, 100, .01, .3))
    def lumpy(mean, lasts, rate, looks, seconds, base):
        """Bad events of users who try again and again: each look's of an arm with so many requests a second."""
        alive, out = float(round(mean)), []
        for _ in range(looks):
            alive = binom(r, alive, math.exp(-seconds / lasts)) + float(sum(r.random() < mean * seconds / lasts / 50 for _ in range(50)))
            out.append(min(binom(r, 200, min(1, alive / mean * base * rate * seconds / 200)), rate * seconds))
        return out

    def sessions(name, rps, w, mean, looks, **head):
        counts(name, rps=rps, looks=looks, base=0.0, weights=w if callable(w) else None, w=0.0 if callable(w) else w, **head)
        s = out[-1]["looks"]
        share = w(0) if callable(w) else w
        for l, x, y in zip(s, lumpy(mean * share, 100, rps * share, looks, 10, .01), lumpy(mean * (1 - share), 100, rps * (1 - share), looks, 10, .01)):
            l["canary"]["bad"], l["baseline"]["bad"] = min(x, l["canary"]["total"]), min(y, l["baseline"]["total"])

    retries = dict(seconds=60, baseline=dict(bad=lumpy(5, 100, 100, 300, 60, .01), total=[6000.0] * 300))
    sessions("lumps of events", 100, .3, 5, 60, history=retries)
    sessions("lumps of events, few at the canary", 100, .05, 5, 50, history=retries)
    sessions("lumps of events and steps", 200, step, 10, 50, history=retries)
    sessions("lumps of events, a goal", 100, .5, 5, 40, history=retries, metric=dict(goal=True))
    sessions("lumps of events, of which nothing is known", 100, .5, 5, 60)
    counts("lumps in the history, five times as bad", w=.5, effect=lambda t: 5.0, looks=40, history=retries)
    counts("lumps in the history, looks without data", w=.2, missing=.2, empty=.2, looks=40, history=retries)
    unlike = draw_history(r, 60, 100, .01, 0.0, 16, 0.0)
    for i, p in enumerate(unlike["replicas"]):
        f = [.3, .3, .3, 3.0][i % 4]
        unlike["baseline"]["bad"] = [b + round(x * f) - x for b, x in zip(unlike["baseline"]["bad"], p["bad"])]
        p["bad"] = [float(round(x * f)) for x in p["bad"]]
    counts("users that differ, groups known", metric=dict(users=True), weights=step, looks=50, history=unlike)
    counts("users that differ, three times as bad", metric=dict(users=True), weights=lambda t: [.5, .2, .4][min(t // 12, 2)], effect=lambda t: 3.0, looks=40, history=unlike)
    counts("users that differ, groups not known, cold", metric=dict(users=True, cold=True), w=.3, looks=40, missing=.1, history=quiet)
    counts("users that differ, nothing known", metric=dict(users=True), w=.3, looks=40)
    counts("a history without a bad event", looks=40, history=draw_history(r, 120, 100, 0.0, 0.0))
    counts("nothing known, a baseline that wanders", base=.05, looks=70, weights=lambda t: .5)
    for i, l in enumerate(out[-1]["looks"]):
        for a in ("canary", "baseline"):
            l[a]["bad"] = min(l[a]["total"], float(round(l[a]["bad"] * [.4, 2.5][(i // 6 + (a == "canary")) % 2])))
    counts("learned of a short release", looks=40, learned=[dict(learned[0], blocks=[dict(learned[0]["blocks"][i], count=n) for i, n in enumerate((9.0, 2.0, 1.0))])])
    def by_parts(name, looks, shares, effect, rps=100, w=.1, base=.01, steps=None, **head):
        counts(name, rps=0, looks=looks, base=0.0, weights=steps, w=w, **head)
        for t, l in enumerate(out[-1]["looks"]):
            ps = []
            for v, s in shares.items():
                n = binom(r, rps * 10, s)
                c = binom(r, n, l["weight"])
                if n > 0 and not (v.startswith("late") and t < looks // 3):
                    ps.append(dict(value=v, canary=dict(bad=binom(r, c, min(1, base * effect(t, v))), total=c), baseline=dict(bad=binom(r, n - c, base), total=n - c)))
            for arm in ("canary", "baseline"):
                if l[arm] is not None:
                    l[arm] = dict(bad=sum(p[arm]["bad"] for p in ps), total=sum(p[arm]["total"] for p in ps))
            l["parts"] = ps

    routes = {"/": .5, "/cart": .3, "/pay": .15, "late /new": .03, "/rare": .02}
    split_history = draw_history(r, 240, 100, .01, .1)
    split_history["parts"] = []
    for s in (.5, .3, .2):
        split_history["parts"].append(dict(bad=[binom(r, b, s) for b in split_history["baseline"]["bad"]], total=[float(round(n * s)) for n in split_history["baseline"]["total"]]))
    by_parts("by route, good", 50, routes, lambda t, v: 1.0, metric=dict(values=20), history=split_history)
    by_parts("by route, a dead one", 50, routes, lambda t, v: 100.0 if v == "/rare" else 1.0, metric=dict(values=20), history=split_history)
    by_parts("by route, one that comes late is bad", 60, routes, lambda t, v: 30.0 if v == "late /new" else 1.0, metric=dict(values=20), steps=step, missing=.1)
    by_parts("by route, two places, nothing known of each", 40, routes, lambda t, v: 5.0 if v in ("/pay", "/rare") else 1.0, metric=dict(values=2), history=quiet)
    by_parts("by route, fewer is worse", 40, routes, lambda t, v: .2 if v == "/cart" else 1.0, base=.3, metric=dict(values=20, direction="decrease", margin=dict(relative=.25)), learned=[dict(learned[0], parts=learned[0]["blocks"])])
    by_parts("by route, neither way, cold", 40, routes, lambda t, v: 3.0 if v == "/cart" else 1.0, base=.05, metric=dict(values=3, direction="either", cold=True), steps=step, history=split_history)
    hour = [dict(weight=w, seconds=300) for w in (.01, .05, .2, .5)]
    counts("a budget of twenty minutes", weights=step, looks=60, metric=dict(budget=hour), history=quiet)
    counts("a budget of twenty minutes, drift", weights=step, looks=60, metric=dict(budget=hour), history=drift)
    counts("a budget, twice the errors", w=.5, rps=30, effect=lambda t: 2.0, looks=50, metric=dict(budget=[dict(weight=.5, seconds=600)]), history=draw_history(r, 240, 30, .01, 0.0))
    counts("a budget and replicas", w=.3, looks=40, metric=dict(budget=[dict(weight=.3, seconds=900)]), history=pods, replicas=True)
    counts("a budget of much traffic is within the margin", w=.5, rps=3000, looks=30, metric=dict(budget=[dict(weight=.5, seconds=3600)]), history=draw_history(r, 240, 3000, .01, 0.0))
    counts("a budget and no history", w=.5, looks=30, metric=dict(budget=hour))
    counts("a budget, fewer is worse", w=.5, base=.1, looks=40, metric=dict(budget=[dict(weight=.5, seconds=300)], direction="decrease", margin=dict(relative=.1)), history=draw_history(r, 240, 30, .1, .1))
    counts("a restless history, and a release in which nothing wanders", weights=step, looks=60, rps=1000, history=drift)
    counts("a restless history, nothing wanders, and twice the errors", w=.5, effect=lambda t: 2.0, looks=60, rps=1000, history=drift)
    counts("a restless history, nothing wanders, fewer is worse, and cold", w=.5, base=.2, effect=lambda t: .6, looks=40, metric=dict(direction="decrease", cold=True), history=drift)
    apart = [dict(learned[0], apart=a, unsure=u) for a, u in ((.3, .001), (-.4, .002), (.1, .05), (.9, .004))]
    counts("learned of releases that ended apart", looks=40, learned=apart)
    counts("learned of releases that ended apart, and a quiet history", weights=step, looks=40, learned=apart[1:3], history=quiet)
    counts("learned of a release that ended alike", looks=40, learned=[dict(learned[0], apart=.01, unsure=.0004)], history=quiet)
    sticky = dict(sticky=True)
    counts("arms divided by users, nothing known", w=.5, looks=50, metric=sticky)
    counts("arms divided by users, steps", weights=step, looks=60, metric=sticky, history=quiet)
    counts("arms divided by users, twice the errors", w=.5, effect=lambda t: 2.0, looks=50, metric=sticky, history=quiet)
    counts("arms divided by users, an outage, missing looks", w=.05, effect=lambda t: 100.0, looks=12, missing=.3, metric=sticky, history=quiet)
    counts("arms divided by users, cold, down and up again", weights=lambda t: [.2, .1, .4][min(t // 12, 2)], looks=36, metric=dict(sticky=True, cold=True), history=drift)
    counts("arms divided by users, releases that ended alike", w=.5, effect=lambda t: 2.0, looks=40, metric=sticky, history=quiet, learned=[dict(learned[0], apart=a, unsure=.002, weight=.5) for a in (.03, -.05, .01)])
    counts("arms divided by users, a release that ended apart", w=.5, looks=40, metric=sticky, history=quiet, learned=[dict(learned[0], apart=.6, unsure=.002, weight=.5), dict(learned[0], apart=.2, unsure=.002)])
    counts("arms divided by users, a goal", w=.5, base=.05, effect=lambda t: .5, looks=30, metric=dict(sticky=True, goal=True))
    counts("arms divided by users, lumps and drift", weights=step, looks=60, metric=sticky, history=retries)
    counts("noise that is common at first, and then is not", w=.5, rps=1000, looks=80, history=drift)
    for t, l in enumerate(out[-1]["looks"]):
        if t >= 40:
            l["canary"]["bad"] = min(l["canary"]["total"], float(round(l["canary"]["bad"] * math.exp(.5 * math.sin(t / 3)))))
    counts("a strain of some minutes", w=.5, rps=400, effect=lambda t: 1.7 if 20 <= t < 40 else 1.0, looks=70, history=quiet)
    counts("a strain of stable, looks without data", weights=step, missing=.1, effect=lambda t: .6 if 20 <= t < 40 else 1.0, looks=60, history=quiet)
    counts("a budget and users", metric=dict(users=True, budget=hour), weights=step, looks=40, history=unlike)
    def values(name, looks=60, n=400, w=.5, sd=1.0, effect=lambda t: 1.0, pareto=False, seconds=10, empty=0.0, missing=0.0, metric=None, weights=None):
        m = dict(kind="mean", falseRollback=.01, falseAdvance=.05, margin=dict(relative=.2), minRequests=100)
        m.update(metric or {})
        draw = (lambda: r.paretovariate(1.5)) if pareto else (lambda: r.lognormvariate(0, sd))
        ls = []
        for t in range(looks):
            ww = weights(t) if weights else w
            nc = round(n * ww) if r.random() >= empty else 0
            arm = lambda k, f: dict(sum=f * sum(draw() for _ in range(k)), count=float(k))
            l = dict(weight=ww, canary=arm(nc, effect(t)), baseline=arm(n - nc, 1.0))
            if r.random() < missing:
                l["baseline"] = None
            ls.append(l)
        out.append(dict(name=name, metric=m, seconds=seconds, looks=ls))

    counts("looks of ten minutes", seconds=600, looks=30, missing=.1, effect=lambda t: 1.6 if 10 <= t < 14 else 1.0, history=quiet)
    values("values of the same mean")
    values("values of the same mean, steps", weights=step, missing=.1)
    values("values twice as large", effect=lambda t: 2.0)
    values("values twice as large from the middle on, heavy tails", effect=lambda t: 2.0 if t >= 30 else 1.0, sd=2.0, w=.2, looks=80)
    values("values without a variance", pareto=True, w=.1, n=60, empty=.2)
    values("values of which lower is worse", effect=lambda t: .4, w=.3, metric=dict(direction="decrease"))
    values("values, neither way", effect=lambda t: 3.0, weights=lambda t: [.1, .5, .3, .6, .2][t // 12], metric=dict(direction="either"))
    values("values, a goal that is reached", effect=lambda t: .6, metric=dict(goal=True))
    values("values and an absolute margin", effect=lambda t: 1.3, n=100, seconds=60, metric=dict(margin=dict(relative=.1, absolute=2.0), passAfter=600.0))
    values("values, looks of a second", n=30, seconds=1, effect=lambda t: 4.0, looks=90)
    values("values that are all nothing", looks=5, effect=lambda t: 0.0, sd=0.0)
    for l in out[-1]["looks"]:
        l["baseline"]["sum"] = 0.0
    began = lambda *b: [dict(learned[0], began=x) for x in b]
    cold = dict(cold=True, margin=dict(relative=.25, absolute=.01))
    counts("releases that began warm, and this one does", metric=cold, base=.03, weights=step, looks=60, learned=began(-.8, -1.2, -2.5), history=quiet)
    counts("releases that began warm, five times as slow", metric=cold, base=.03, effect=lambda t: 5.0, weights=step, looks=40, learned=began(-.8, -1.2), history=quiet)
    counts("releases that began warm, and this one is cold", metric=cold, base=.03, effect=lambda t: 1 + 8 * math.exp(-(t % 12) / 6), weights=step, looks=50, missing=.1, learned=began(-3.0, -3.0), history=quiet)
    counts("releases that began warm, one that began cold, slow for good", metric=cold, base=.03, effect=lambda t: 3.0, weights=step, looks=40, learned=began(-3.0, -3.0, 3.0), history=quiet)
    counts("one that began cold, then a warm one, drift", metric=cold, base=.03, effect=lambda t: 1 + 4 * math.exp(-t / 8), w=.5, looks=40, learned=began(2.0, -3.0), history=drift)
    counts("releases that began warm, arms divided by users", metric=dict(cold, sticky=True), base=.03, effect=lambda t: 2.0, weights=lambda t: [.2, .1, .4][min(t // 12, 2)], looks=36, learned=began(-1.0), history=quiet)
    counts("releases that began warm, lumps, no data at times", metric=cold, w=.3, missing=.2, empty=.2, looks=40, learned=began(-1.0), history=retries)
    counts("releases that began warm, replicas", metric=cold, base=.03, w=.3, looks=50, replicas=True, learned=began(-1.0, .5), history=pods)
    by_parts("by route, releases that began warm", 40, routes, lambda t, v: 5.0 if v == "/cart" else 1.0, base=.05, metric=dict(values=3, cold=True), steps=step, learned=began(-1.0), history=split_history)
    counts("restarts in looks without data", metric=cold, base=.03, missing=.75, weights=step, looks=60, replicas=True, learned=began(-1.0), history=pods)
    return out


def judge_of(head):
    return Split(head) if head["metric"]["kind"] == "split" else Judge(head)


def main():
    if len(sys.argv) > 1:
        j = None
        for line in open(sys.argv[1]):
            l = json.loads(line)
            if "metric" in l:
                j = judge_of(l)
            else:
                print(json.dumps(j.look(l)))
        return
    all_ = sequences()
    for s in all_:
        j = judge_of(s)
        s["expected"] = [j.look(l) for l in s["looks"]]
    with gzip.GzipFile("sequences.json.gz", "wb", 9, mtime=0) as f:
        f.write(json.dumps(all_).encode())
    print(len(all_), "sequences")


if __name__ == "__main__":
    main()
