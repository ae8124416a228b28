// Pixels on canvases.

/** Paints picture `index` of an answer of the generator on a canvas. */
export function paint(canvas, picture, index) {
  const { pixels, width, height } = picture;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const image = new ImageData(width, height);
  const start = index * width * height * 3;
  for (let from = start, to = 0, end = start + width * height * 3; from < end; from += 3, to += 4) {
    image.data[to] = pixels[from];
    image.data[to + 1] = pixels[from + 1];
    image.data[to + 2] = pixels[from + 2];
    image.data[to + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
