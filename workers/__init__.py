"""The only room that knows both sides: order, retry, once and only once. Holds no rule of radiology."""
