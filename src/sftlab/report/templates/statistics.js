/* Student's t. The distribution is the regularised incomplete beta function, by Lentz's continued fraction
   (Press et al., Numerical Recipes, 6.4). */
function logGamma(x) {
  const terms = [76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 0.001208650973866179, -0.000005395239384953];
  const shifted = x + 5.5;
  const series = terms.reduce((sum, term, place) => sum + term / (x + 1 + place), 1.000000000190015);
  return (x + 0.5) * Math.log(shifted) - shifted + Math.log((2.5066282746310005 * series) / x);
}
function betaFraction(a, b, x) {
  const least = 1e-300;
  const kept = (value) => (Math.abs(value) < least ? least : value);
  let c = 1;
  let d = 1 / kept(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 300; m += 1) {
    for (const term of [(m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)), (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))]) {
      d = 1 / kept(1 + term * d);
      c = kept(1 + term / c);
      fraction *= d * c;
    }
    if (Math.abs(d * c - 1) < 1e-14) break;
  }
  return fraction;
}
function incompleteBeta(a, b, x) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(a, b, x)) / a : 1 - (front * betaFraction(b, a, 1 - x)) / b;
}
const twoSided = (t, df) => incompleteBeta(df / 2, 0.5, df / (df + t * t));
const quantiles = new Map();
function tQuantile(df) {
  const key = df.toFixed(3);
  if (!quantiles.has(key)) {
    let [low, high] = [0, 1e4];
    for (let round = 0; round < 80; round += 1) {
      const middle = (low + high) / 2;
      if (twoSided(middle, df) > 0.05) low = middle; else high = middle;
    }
    quantiles.set(key, (low + high) / 2);
  }
  return quantiles.get(key);
}
const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
function holm(pValues) {
  const order = pValues.map((_, place) => place).sort((left, right) => pValues[left] - pValues[right]);
  const adjusted = new Array(pValues.length);
  let most = 0;
  order.forEach((place, rank) => { most = Math.max(most, Math.min(1, (pValues.length - rank) * pValues[place])); adjusted[place] = most; });
  return adjusted;
}
/* Mean over units. Of units like these: from their spread; one unit alone has the errors of its items and seeds, where
   those are known. Of these very units: their items' errors, partly in common (`shared`), and the seeds', each its own;
   degrees of freedom after Satterthwaite. */
function estimated(units, df, these) {
  const value = meanOf(units.map((unit) => unit.value));
  if (units.length > 1 && !these) {
    const spread = units.reduce((sum, unit) => sum + (unit.value - value) ** 2, 0) / (units.length - 1);
    return { value, se: Math.sqrt(spread / units.length), df: units.length - 1, n: units.length };
  }
  if (!(units.every((unit) => unit.se > 0) && df.items > 0)) return { value, se: null, df: df.items, n: units.length };
  const own = meanOf(units.map((unit) => unit.own)) / units.length;
  const items = df.shared * meanOf(units.map((unit) => unit.se)) ** 2 + (1 - df.shared) * own;
  const seeds = meanOf(units.map((unit) => unit.seeds)) / units.length;
  const total = (items + seeds) ** 2 / (items ** 2 / df.items + (seeds > 0 ? seeds ** 2 / df.seeds : 0));
  return { value, se: Math.sqrt(items + seeds), df: total, n: units.length };
}
const halfWidth = (estimate) => (estimate.se === null ? null : estimate.se * tQuantile(estimate.df));
const pValue = (estimate) => (estimate.se === null ? 1 : estimate.se === 0 ? (estimate.value === 0 ? 1 : 0) : twoSided(estimate.value / estimate.se, estimate.df));
