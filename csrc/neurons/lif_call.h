// The calls of a layer of LIF neurons.
#ifndef SPIKEGRAD_NEURONS_LIF_CALL_H_
#define SPIKEGRAD_NEURONS_LIF_CALL_H_

#include "neurons/layer_call.h"
#include "neurons/lif.h"

namespace spikegrad {

template <class T>
using LifLayer = Layer<T, Lif>;
template <class T>
using LifForward = LayerForward<T, Lif>;
template <class T>
using LifTangent = LayerTangent<T, Lif>;
template <class T>
using LifCotangent = LayerCotangent<T, Lif>;

}  // namespace spikegrad

#endif  // SPIKEGRAD_NEURONS_LIF_CALL_H_
