//! Random series and random well-typed queries over them.

/// A small generator of pseudo-random numbers (xorshift, Marsaglia 2003): the same seed, the same queries.
pub(crate) struct Random(u64);

const LABELS: [&str; 3] = ["a", "b", "le"];
const FLOATS: [&str; 6] = [
    "gauge",
    "requests_total",
    "sparse",
    "odd",
    "latency_bucket",
    "up",
];

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % end
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len())]
    }

    fn float(&mut self) -> f64 {
        (self.below(2_000_001) as f64 - 1_000_000.0) / 1024.0
    }

    /// Metrics with the values of 60 samples.
    pub(crate) fn series(&mut self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for a in ["x", "y", "z"] {
            for b in ["1", "2"] {
                let labels = format!("a=\"{a}\",b=\"{b}\"");
                all.push((format!("gauge{{{labels}}}"), self.values(|r, _| r.float())));
                all.push((format!("requests_total{{{labels}}}"), self.counter(40)));
                all.push((format!("sparse{{{labels}}}"), self.gaps()));
                if a != "z" {
                    all.extend(self.classic(&labels));
                    all.push((format!("native{{{labels}}}"), self.native()));
                }
            }
            let odd = ["NaN", "Inf", "-Inf", "0", "-0", "1e300", "-1e-300"];
            let values: Vec<&str> = (0..60).map(|_| self.pick(&odd)).collect();
            all.push((format!("odd{{a=\"{a}\"}}"), values.join(" ")));
        }
        all.push(("up{a=\"x\",b=\"1\"}".to_owned(), "1x59".to_owned()));
        all
    }

    fn values(&mut self, mut next: impl FnMut(&mut Self, usize) -> f64) -> String {
        let values: Vec<String> = (0..60).map(|at| next(self, at).to_string()).collect();
        values.join(" ")
    }

    fn counter(&mut self, reset_in: usize) -> String {
        let mut total = 0.0;
        self.values(|r, _| {
            total = if r.one_in(reset_in) {
                0.0
            } else {
                total + r.float().abs()
            };
            total
        })
    }

    fn gaps(&mut self) -> String {
        let values: Vec<String> = (0..60)
            .map(|_| match self.below(8) {
                0 => "stale".to_owned(),
                1..=4 => "_".to_owned(),
                _ => self.float().to_string(),
            })
            .collect();
        values.join(" ")
    }

    fn classic(&mut self, labels: &str) -> Vec<(String, String)> {
        let bounds = ["0.1", "1", "10", "+Inf"];
        let mut counts = [0.0; 4];
        let mut lines = vec![Vec::new(); 4];
        for _ in 0..60 {
            let mut more = 0.0;
            for (count, line) in counts.iter_mut().zip(&mut lines) {
                more += self.below(5) as f64;
                *count += more;
                line.push(count.to_string());
            }
        }
        let named = bounds.iter().zip(lines).map(|(le, line)| {
            (
                format!("latency_bucket{{{labels},le=\"{le}\"}}"),
                line.join(" "),
            )
        });
        named.collect()
    }

    fn native(&mut self) -> String {
        let mut buckets = [0u32; 4];
        let literal = |buckets: &[u32; 4]| {
            let count: u32 = buckets.iter().sum();
            let [a, b, c, d] = buckets;
            let sum = f64::from(count) * 1.5;
            format!(
                "{{{{schema:1 count:{count} sum:{sum} z_bucket:{a} z_bucket_w:0.001 offset:-1 buckets:[{b} {c} {d}]}}}}"
            )
        };
        let mut values = Vec::new();
        for _ in 0..60 {
            for bucket in &mut buckets {
                *bucket += u32::try_from(self.below(4)).unwrap_or_default();
            }
            if self.one_in(30) {
                buckets = [1, 0, 2, 1];
            }
            values.push(if self.one_in(12) {
                "_".to_owned()
            } else {
                literal(&buckets)
            });
        }
        values.join(" ")
    }

    /// A well-typed query of a vector or a scalar.
    pub(crate) fn query(&mut self) -> String {
        match self.below(12) {
            0 => self.scalar(2),
            1 | 2 => self.of_histograms(),
            _ => self.vector(3),
        }
    }

    fn shift(&mut self) -> String {
        let offset = self.pick(&["", "", "", " offset 1m", " offset -90s"]);
        let at = self.pick(&["", "", "", "", " @ 600", " @ start()", " @ end()"]);
        format!("{at}{offset}")
    }

    fn matchers(&mut self) -> String {
        let matcher = [
            "a='x'",
            "a!='y'",
            "a=~'x|z'",
            "b='1'",
            "b!~'2.*'",
            "a=~'.+'",
            "nothing=''",
        ];
        match self.below(3) {
            0 => String::new(),
            1 => format!("{{{}}}", self.pick(&matcher)),
            _ => format!("{{{},{}}}", self.pick(&matcher), self.pick(&matcher)),
        }
    }

    fn selector(&mut self) -> String {
        let (name, matchers) = (self.pick(&FLOATS), self.matchers());
        format!("{name}{matchers}")
    }

    fn range(&mut self, depth: usize) -> String {
        let range = self.pick(&["30s", "1m", "95s", "5m", "20m"]);
        let shift = self.shift();
        if depth > 0 && self.one_in(4) {
            let step = self.pick(&["", "30s", "47s", "2m"]);
            let inside = self.vector(depth - 1);
            // With an offset outside, Prometheus misplaces a fixed time inside when the first step of the subquery
            // happens to be that of the query.
            let shift = if inside.contains('@') {
                String::new()
            } else {
                shift
            };
            return format!("({inside})[{range}:{step}]{shift}");
        }
        format!("{}[{range}]{shift}", self.selector())
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .pick(&["0", "1", "2.5", "-3", "NaN", "Inf", "time()", "pi()", "5m"])
                .to_owned();
        }
        match self.below(4) {
            0 => format!("scalar({})", self.vector(depth - 1)),
            1 => format!(
                "({} {} {})",
                self.scalar(depth - 1),
                self.arithmetic(),
                self.scalar(depth - 1)
            ),
            2 => format!("-{}", self.scalar(depth - 1)),
            _ => self.scalar(0),
        }
    }

    fn arithmetic(&mut self) -> &'static str {
        // No `%`: it makes a large difference of a rounding.
        self.pick(&["+", "-", "*", "/", "^", "atan2"])
    }

    fn operator(&mut self) -> &'static str {
        let comparison = [
            "==", "!=", ">", "<", ">=", "<=", "> bool", "== bool", "<= bool",
        ];
        if self.one_in(2) {
            self.arithmetic()
        } else {
            self.pick(&comparison)
        }
    }

    fn labels(&mut self) -> String {
        match self.below(4) {
            0 => String::new(),
            1 => format!("{},{}", self.pick(&LABELS), self.pick(&LABELS)),
            _ => self.pick(&LABELS).to_owned(),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            let (selector, shift) = (self.selector(), self.shift());
            return format!("{selector}{shift}");
        }
        let less = depth - 1;
        match self.below(10) {
            0 | 1 => self.over_range(less),
            2 | 3 => self.aggregation(less),
            4 => self.function(less),
            5 => format!(
                "({} {} {})",
                self.vector(less),
                self.operator(),
                self.scalar(1)
            ),
            6 => format!(
                "({} {} {})",
                self.scalar(1),
                self.operator(),
                self.vector(less)
            ),
            7 => self.between_vectors(less),
            8 => format!("-{}", self.vector(less)),
            _ => self.vector(0),
        }
    }

    fn over_range(&mut self, depth: usize) -> String {
        let plain = [
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "deriv",
            "changes",
            "resets",
            "avg_over_time",
            "sum_over_time",
            "min_over_time",
            "max_over_time",
            "count_over_time",
            "last_over_time",
            "first_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "present_over_time",
            "absent_over_time",
        ];
        match self.below(8) {
            0 => format!(
                "quantile_over_time({}, {})",
                self.scalar(0),
                self.range(depth)
            ),
            1 => format!("predict_linear({}, {})", self.range(depth), self.scalar(0)),
            _ => format!("{}({})", self.pick(&plain), self.range(depth)),
        }
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let grouping = match self.below(3) {
            0 => String::new(),
            1 => format!(" by ({})", self.labels()),
            _ => format!(" without ({})", self.labels()),
        };
        let vector = self.vector(depth);
        match self.below(8) {
            0 => format!("quantile{grouping} ({}, {vector})", self.scalar(0)),
            // Its labels show the last digit, which functions and sums of another order do not share.
            1 => format!("count_values{grouping} ('v', {})", self.vector(0)),
            // Which of equal values stays is chance: none are equal here.
            2 => {
                let (op, matchers) = (self.pick(&["topk", "bottomk"]), self.matchers());
                format!(
                    "{op}{grouping} ({}, gauge{matchers})",
                    self.pick(&["1", "2", "0", "-1", "2.9"])
                )
            }
            _ => {
                let op = self.pick(&[
                    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
                ]);
                format!("{op}{grouping} ({vector})")
            }
        }
    }

    fn function(&mut self, depth: usize) -> String {
        let plain = [
            "abs",
            "ceil",
            "floor",
            "exp",
            "sqrt",
            "ln",
            "log2",
            "log10",
            "sgn",
            "sin",
            "cos",
            "atan",
            "asinh",
            "deg",
            "rad",
            "timestamp",
            "absent",
            "sort",
            "day_of_week",
            "days_in_month",
            "hour",
            "month",
            "year",
        ];
        let vector = self.vector(depth);
        match self.below(9) {
            0 => format!("clamp({vector}, {}, {})", self.scalar(0), self.scalar(0)),
            1 => format!("clamp_max({vector}, {})", self.scalar(0)),
            2 => format!("round({vector}, {})", self.scalar(0)),
            3 => format!("label_replace({vector}, 'c', '$1-x', 'a', '(.).*')"),
            4 if self.one_in(2) => {
                format!("{} % {}", self.vector(0), self.pick(&["2.5", "-7", "0"]))
            }
            4 => format!("label_join({vector}, 'b', '/', 'a', 'le')"),
            5 => format!("vector({})", self.scalar(1)),
            6 => format!("histogram_quantile({}, {vector})", self.scalar(0)),
            _ => format!("{}({vector})", self.pick(&plain)),
        }
    }

    fn between_vectors(&mut self, depth: usize) -> String {
        let (left, right) = (self.vector(depth), self.vector(depth));
        if self.one_in(3) {
            let op = self.pick(&["and", "or", "unless"]);
            let matching = match self.below(3) {
                0 => String::new(),
                1 => format!(" on ({})", self.labels()),
                _ => format!(" ignoring ({})", self.labels()),
            };
            return format!("({left} {op}{matching} {right})");
        }
        let matching = match self.below(5) {
            0 | 1 => String::new(),
            2 => " on (a, b)".to_owned(),
            3 => " ignoring (le)".to_owned(),
            _ => format!(" on (a) group_left ({})", self.pick(&["", "b"])),
        };
        format!("({left} {}{matching} {right})", self.operator())
    }

    fn of_histograms(&mut self) -> String {
        let matchers = self.matchers();
        let range = self.pick(&["1m", "95s", "5m", "20m"]);
        let vector = match self.below(6) {
            0 => format!("native{matchers}"),
            1 => format!("rate(native{matchers}[{range}])"),
            2 => format!("increase(native{matchers}[{range}])"),
            3 => format!(
                "sum by ({}) (rate(native{matchers}[{range}]))",
                self.labels()
            ),
            4 => format!("avg_over_time(native{matchers}[{range}])"),
            _ => format!(
                "(native{matchers} {} {})",
                self.pick(&["*", "/"]),
                self.scalar(0)
            ),
        };
        match self.below(9) {
            0 => format!(
                "histogram_quantile({}, {vector})",
                self.pick(&["0", "0.5", "0.99", "1", "2"])
            ),
            1 => format!("histogram_fraction(0, {}, {vector})", self.scalar(0)),
            2 => format!("histogram_avg({vector})"),
            3 => format!("histogram_stddev({vector})"),
            4 => format!("histogram_count({vector}) - histogram_sum({vector})"),
            5 => format!("avg({vector})"),
            6 => format!("count_over_time(({vector})[{range}:30s])"),
            _ => vector,
        }
    }
}
