import numpy as np

from cxrscreen.systems.mirrored import mirrored_outputs


def test_an_image_and_its_mirror_image_have_the_same_mirrored_outputs():
    def engine(image):
        features = np.concatenate([image, 3 * np.roll(image, 1, axis=3)], axis=1)
        pooled = features.mean(axis=(2, 3)) * np.array([1.0, 2.0], np.float32) + image[:, 0, :1, 0]
        return {"features": features, "pooled": pooled, "logits": pooled.sum(axis=1, keepdims=True)}

    image = np.random.default_rng(0).random((1, 1, 4, 6), dtype=np.float32)
    seen, turned = mirrored_outputs(engine, image), mirrored_outputs(engine, image[..., ::-1].copy())
    np.testing.assert_allclose(turned["features"], seen["features"][..., ::-1], atol=1e-6)
    np.testing.assert_allclose(turned["logits"], seen["logits"], atol=1e-6)
    by_hand = (engine(image)["logits"] + engine(image[..., ::-1])["logits"]) / 2
    np.testing.assert_allclose(seen["logits"], by_hand, atol=1e-6)
    assert seen["pooled"].shape == (1, 2)
    assert abs(float(engine(image)["logits"][0, 0] - by_hand[0, 0])) > 1e-3


def test_several_images_are_each_averaged_with_their_own_mirror_image():
    def engine(image):
        return {"features": image, "logits": image[:, :, :1, 0]}

    images = np.random.default_rng(0).random((3, 1, 4, 6), dtype=np.float32)
    together = mirrored_outputs(engine, images)
    for index in range(3):
        alone = mirrored_outputs(engine, images[index : index + 1])
        for name, values in alone.items():
            np.testing.assert_array_equal(together[name][index : index + 1], values)


def test_outputs_may_be_left_apart():
    class Engine:
        def __call__(self, images):
            return {"maps": images, "pooled": images.mean(axis=(2, 3)), "top": images[:, :, 0, 0]}

    image = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    found = mirrored_outputs(Engine(), image, apart=("maps", "top"))
    np.testing.assert_array_equal(found["maps"], np.concatenate([image, image]))
    np.testing.assert_array_equal(found["top"], [[0], [2]])
    np.testing.assert_array_equal(found["pooled"], [[2.5]])
