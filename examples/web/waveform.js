/** Draws samples as bars, the part that has been read in the accent colour. */

const BAR = 3; // CSS pixels
const GAP = 2;

export class Waveform {
  #canvas;
  #samples = new Float32Array(0);
  #heights = [];
  #progress = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#refresh()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Shows `samples`, none of them read. */
  show(samples) {
    this.#samples = samples;
    this.#progress = 0;
    this.#refresh();
  }

  /** Marks a share of the samples, 0 to 1, as read. */
  set progress(share) {
    this.#progress = share;
    this.#draw();
  }

  #refresh() {
    const bars = Math.max(1, Math.floor(this.#canvas.clientWidth / (BAR + GAP)));
    this.#heights = loudness(this.#samples, bars);
    this.#draw();
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    this.#canvas.width = width * devicePixelRatio;
    this.#canvas.height = height * devicePixelRatio;
    const style = getComputedStyle(this.#canvas);
    const context = this.#canvas.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    this.#heights.forEach((share, i) => {
      const bar = Math.max(BAR, share * height);
      const read = i < this.#progress * this.#heights.length;
      context.fillStyle = style.getPropertyValue(read ? "--accent" : "--quiet");
      context.beginPath();
      context.roundRect(i * (BAR + GAP), (height - bar) / 2, BAR, bar, BAR / 2);
      context.fill();
    });
  }
}

/** The root mean square of each of `bars` stretches, the loudest being 1. */
function loudness(samples, bars) {
  const stretch = samples.length / bars;
  const levels = Array.from({ length: bars }, (_, bar) => {
    const [start, end] = [Math.floor(bar * stretch), Math.floor((bar + 1) * stretch)];
    let energy = 0;
    for (let i = start; i < end; i++) energy += samples[i] ** 2;
    return Math.sqrt(energy / Math.max(1, end - start));
  });
  const loudest = Math.max(...levels, 0.01); // silence stays small
  return levels.map((level) => level / loudest);
}
