//! The radio itself: adapters, discovery, and adverts as BlueZ signals them.
